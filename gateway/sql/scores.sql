-- Scores of calls. Plain statements under READ COMMITTED, without locks: of two sources that say something at the same time each
-- has rows of its own, and of one source the second finds the number taken, inserts nothing and is tried again.

-- name: call
-- Whose call it is, and whether scores of its age are kept. Found by its id, which says in which partition it is.
SELECT c.feature, c.tenant,
       %(called_at)s > now() - coalesce(days ->> c.feature, days ->> '', '36500')::int * interval '24 hours'
FROM tollhouse_call c CROSS JOIN tollhouse_keep_days_v1('score') AS days WHERE c.id = %(call_id)s

-- name: last
-- What the source says of the call so far.
SELECT id, value, number FROM tollhouse_score
WHERE call_id = %(call_id)s AND kind = %(kind)s AND name = %(name)s AND source = %(source)s AND author = %(author)s
ORDER BY number DESC LIMIT 1

-- name: add
INSERT INTO tollhouse_score (id, call_id, called_at, kind, name, value, source, author, number, replaced, feature, prompt_version,
                             tenant, user_ref, cohort, key, provider, model, outcome, labels)
SELECT %(id)s, c.id, %(called_at)s, %(kind)s, %(name)s, %(value)s, %(source)s, %(author)s, %(number)s, %(replaced)s, c.feature,
       c.prompt_version, c.tenant, c.user_ref, c.cohort, c.key, c.provider, c.model_served, c.outcome, c.labels
FROM tollhouse_call c WHERE c.id = %(call_id)s
ON CONFLICT DO NOTHING


-- name: figures
-- What was said of the calls of a feature in a range of time, by version, kind and name: how many sources, how many of them say
-- something above nothing and below it, and the sum of what they say. By the index on feature and time; no call's row is read.
SELECT k.prompt_version, k.kind, k.name, count(*) FILTER (WHERE k.replaced IS NULL),
       count(*) FILTER (WHERE k.value > 0) - count(*) FILTER (WHERE k.replaced > 0),
       count(*) FILTER (WHERE k.value < 0) - count(*) FILTER (WHERE k.replaced < 0),
       sum(k.value - coalesce(k.replaced, 0))
FROM tollhouse_score k
WHERE k.called_at >= %(since)s AND k.called_at < %(until)s AND {conditions}
GROUP BY 1, 2, 3
