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


-- name: sums
-- What was said of the calls of a feature in a range of time, by version, kind and name: how many sources, how many of them say
-- something above nothing and below it, and the sum of what they say. The range is of whole quarters of an hour.
SELECT k.prompt_version, k.kind, k.name, sum(k.sources)::bigint, sum(k.above)::bigint, sum(k.below)::bigint, sum(k.total)
FROM tollhouse_score_sum k
WHERE k.at >= %(since)s AND k.at < %(until)s AND {conditions}
GROUP BY 1, 2, 3 HAVING sum(k.sources) <> 0

-- name: put_together
-- Makes one row of those that add up, and none where they come to nothing. Each row is taken once, whoever else is at it.
WITH added AS MATERIALIZED (
    SELECT DISTINCT feature, at, prompt_version, kind, name FROM tollhouse_score_sum WHERE loose
), taken AS (
    DELETE FROM tollhouse_score_sum WHERE id IN (
        SELECT s.id FROM tollhouse_score_sum s JOIN added USING (feature, at, prompt_version, kind, name)
        FOR UPDATE OF s SKIP LOCKED
    ) RETURNING *
), made AS (
    INSERT INTO tollhouse_score_sum (feature, at, prompt_version, kind, name, sources, above, below, total, loose)
    SELECT feature, at, prompt_version, kind, name, sum(sources), sum(above), sum(below), sum(total), false
    FROM taken GROUP BY feature, at, prompt_version, kind, name HAVING (sum(sources), sum(above), sum(below)) <> (0, 0, 0)
)
SELECT count(*) FROM taken

-- name: figures
-- The same of calls that are chosen by more than feature and version: from the scores themselves, by the index on feature and
-- time; no call's row is read.
SELECT k.prompt_version, k.kind, k.name, count(*) FILTER (WHERE k.replaced IS NULL),
       count(*) FILTER (WHERE k.value > 0) - count(*) FILTER (WHERE k.replaced > 0),
       count(*) FILTER (WHERE k.value < 0) - count(*) FILTER (WHERE k.replaced < 0),
       sum(k.value - coalesce(k.replaced, 0))
FROM tollhouse_score k
WHERE k.called_at >= %(since)s AND k.called_at < %(until)s AND {conditions}
GROUP BY 1, 2, 3

-- name: demo
-- Scores of a sample of the demo's calls: of those whose ids end with less than `below`, three hexadecimal digits. What is said of
-- one comes from the digits before, which are random too. `odds` are, by feature and version, the chances that a reply is edited,
-- liked and passes; null: nobody says.
INSERT INTO tollhouse_score (id, call_id, called_at, created_at, kind, name, value, source, author, number, feature, prompt_version,
                             tenant, user_ref, cohort, key, provider, model, outcome, labels)
SELECT uuidv7(), c.id, made.at, made.at + s.later, s.kind, s.name, s.value, 'demo', '', 1, c.feature, c.prompt_version, c.tenant,
       c.user_ref, c.cohort, c.key, c.provider, c.model_served, c.outcome, c.labels
FROM tollhouse_call c
JOIN jsonb_to_recordset(%(odds)s::jsonb) AS o(feature text, prompt_version text, edited float, liked float, passed float)
    ON o.feature = c.feature AND o.prompt_version = c.prompt_version
CROSS JOIN LATERAL (
    SELECT to_timestamp(('x' || left(replace(c.id::text, '-', ''), 12))::bit(48)::bigint / 1000.0) AS at,
           ('x' || substr(right(c.id::text, 12), 1, 3))::bit(12)::int / 4096.0 AS said,
           ('x' || substr(right(c.id::text, 12), 4, 3))::bit(12)::int / 4096.0 AS chance
) made
CROSS JOIN LATERAL (VALUES
    ('edit', '', interval '4 minutes', said < 0.7,
     CASE WHEN chance < o.edited THEN 0.04 + round((0.9 * power(chance / o.edited, 2))::numeric, 3) ELSE 0 END, o.edited),
    ('feedback', '', interval '9 minutes', said > 0.6, CASE WHEN 1 - chance < o.liked THEN 1 ELSE -1 END, o.liked),
    ('eval', 'grounded', interval '1 hour', true, CASE WHEN chance < o.passed THEN 1 ELSE 0 END, o.passed)
) AS s(kind, name, later, said, value, odds)
WHERE right(c.id::text, 3) < %(below)s AND s.said AND s.odds IS NOT NULL AND c.source = 'demo' AND c.outcome IN ('ok', 'truncated')
