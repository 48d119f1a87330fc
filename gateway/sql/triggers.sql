-- What switch rules measure, over calls from an id on: a time range is an id range, so that only the newest rows of the
-- newest partition are read. Every query counts by subject; `names` are those that are asked for.

-- name: feature_calls
-- Calls that reached a model and its answers that failed; what the provider says is wrong with the request is neither.
SELECT feature AS subject,
       count(*) FILTER (WHERE failed) AS failed,
       count(*) AS calls,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE patient) AS p95_ms,
       count(*) FILTER (WHERE patient) AS timed
FROM (
    SELECT CASE WHEN %(whole)s THEN '' ELSE feature END AS feature, latency_ms,
           outcome IN ('provider_error', 'timeout') AS failed,
           outcome <> 'provider_error' AS patient
    FROM tollhouse_call
    WHERE id >= %(since)s AND (%(whole)s OR feature = ANY(%(names)s)) AND NOT cache_hit
      AND outcome IN ('ok', 'truncated', 'filtered', 'provider_error', 'timeout')
      AND COALESCE(http_status, 0) NOT IN (400, 413, 415, 422)
) AS calls
GROUP BY feature

-- name: target_calls
-- Attempts at providers or models: a reply is one that did well; those that failed are in the trace of their call, also where
-- another target answered it. A model's name counts with the date of a snapshot behind it, as providers report it.
WITH calls AS (
    SELECT provider, model_served, latency_ms, outcome, trace
    FROM tollhouse_call
    WHERE id >= %(since)s AND NOT cache_hit
      AND outcome IN ('ok', 'truncated', 'filtered', 'provider_error', 'timeout')
), attempts AS (
    SELECT CASE WHEN %(by_provider)s THEN provider
                ELSE regexp_replace(model_served, '-(\d{8}|\d{4}-\d{2}-\d{2}|\d{4})$', '') END AS subject,
           model_served, latency_ms, FALSE AS failed
    FROM calls WHERE outcome NOT IN ('provider_error', 'timeout')
    UNION ALL
    SELECT CASE WHEN %(by_provider)s THEN split_part(attempt->>'target', '/', 1)
                ELSE substr(attempt->>'target', strpos(attempt->>'target', '/') + 1) END,
           '', CASE WHEN attempt->>'outcome' = 'timeout' THEN (attempt->>'ms')::float8 END, TRUE
    FROM calls, jsonb_array_elements(CASE WHEN trace ? 'attempts' THEN trace->'attempts' ELSE '[]' END) AS attempt
    WHERE attempt->>'outcome' IN ('provider_error', 'timeout')
      AND COALESCE((attempt->>'status')::int, 0) NOT IN (400, 413, 415, 422)
)
SELECT name AS subject,
       count(*) FILTER (WHERE failed) AS failed,
       count(*) AS calls,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE latency_ms IS NOT NULL) AS p95_ms,
       count(*) FILTER (WHERE latency_ms IS NOT NULL) AS timed
FROM attempts JOIN unnest(%(names)s::text[]) AS name
     ON name = subject OR (NOT %(by_provider)s AND name = model_served)
GROUP BY name

-- name: spend
-- US dollars by subject in one range of ids.
SELECT CASE %(scope)s WHEN 'feature' THEN feature WHEN 'provider' THEN provider WHEN 'model' THEN name ELSE '' END AS subject,
       sum(cost_usd) AS usd
FROM tollhouse_call LEFT JOIN unnest(%(names)s::text[]) AS name
     ON %(scope)s = 'model'
        AND (name = model_served OR name = regexp_replace(model_served, '-(\d{8}|\d{4}-\d{2}-\d{2}|\d{4})$', ''))
WHERE id >= %(since)s AND id < %(until)s AND cost_usd > 0
  AND (%(scope)s <> 'feature' OR feature = ANY(%(names)s))
  AND (%(scope)s <> 'provider' OR provider = ANY(%(names)s))
  AND (%(scope)s <> 'model' OR name IS NOT NULL)
GROUP BY 1
