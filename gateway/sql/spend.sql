-- What a feature spent in one stretch of time and in another before it. Read along the index (feature, id), once; corrections
-- that were booked later count with their calls.

-- name: spend
-- One row for all calls, one for each slice of time, and for each dimension those values whose spend changed the most.
WITH corrected AS (
    SELECT call_id, sum(cost_usd) AS usd, sum(tokens) AS tokens, max(outcome) AS outcome
    FROM tollhouse_adjustment WHERE call_id >= %(before_since)s AND call_id < %(until)s GROUP BY call_id
), called AS (
    SELECT width_bucket(c.id, %(edges)s::uuid[]) AS slice, c.id >= %(since)s AS now,
           c.prompt_version, CASE WHEN c.provider = '' THEN c.model_served ELSE c.provider || '/' || c.model_served END AS model,
           c.tenant, c.cohort, c.key, c.user_ref, c.cost_usd IS NULL AND a.usd IS NULL AS unpriced,
           coalesce(c.cost_usd, 0) + coalesce(a.usd, 0) AS usd,
           coalesce(nullif(a.outcome, ''), c.outcome) = ANY(%(errors)s) AS error,
           c.input_tokens::bigint + c.cache_read_tokens + c.cache_write_tokens + c.audio_input_tokens
               + c.output_tokens + c.reasoning_tokens + c.audio_output_tokens + coalesce(a.tokens, 0) AS tokens
    FROM tollhouse_call c LEFT JOIN corrected a ON a.call_id = c.id
    WHERE c.feature = %(feature)s AND c.id >= %(before_since)s AND c.id < %(until)s
      AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY(%(tenants)s::text[]))
      AND NOT (c.id >= %(before_until)s AND c.id < %(since)s)
), grouped AS (
    -- grouping() has a bit for each of its columns, the first one highest, that is 0 where the row is of a value of it.
    SELECT CASE grouping(slice, prompt_version, model, tenant, cohort, key, user_ref)
               WHEN 63 THEN 'slice' WHEN 95 THEN 'prompt_version' WHEN 111 THEN 'model' WHEN 119 THEN 'tenant'
               WHEN 123 THEN 'cohort' WHEN 125 THEN 'key' WHEN 126 THEN 'user_ref' ELSE 'all' END AS dimension,
           coalesce(slice::text, prompt_version, model, tenant, cohort, key, user_ref, '') AS value,
           coalesce(sum(usd) FILTER (WHERE now), 0) AS usd, coalesce(sum(usd) FILTER (WHERE NOT now), 0) AS usd_before,
           count(*) FILTER (WHERE now) AS calls, count(*) FILTER (WHERE NOT now) AS calls_before,
           count(*) FILTER (WHERE now AND error) AS errors, count(*) FILTER (WHERE NOT now AND error) AS errors_before,
           coalesce(sum(tokens) FILTER (WHERE now), 0)::bigint AS tokens,
           coalesce(sum(tokens) FILTER (WHERE NOT now), 0)::bigint AS tokens_before,
           count(*) FILTER (WHERE now AND unpriced AND tokens > 0) AS unpriced,
           count(*) FILTER (WHERE NOT now AND unpriced AND tokens > 0) AS unpriced_before
    FROM called
    GROUP BY GROUPING SETS ((), (slice), (prompt_version), (model), (tenant), (cohort), (key), (user_ref))
), ranked AS (
    SELECT *, count(*) OVER (PARTITION BY dimension) AS of_values,
           row_number() OVER (PARTITION BY dimension ORDER BY abs(usd - usd_before) DESC, usd DESC, calls DESC, value) AS place
    FROM grouped
)
SELECT dimension, value, of_values, usd, calls, errors, tokens, unpriced,
       usd_before, calls_before, errors_before, tokens_before, unpriced_before
FROM ranked
WHERE dimension IN ('all', 'slice') OR (dimension = ANY(%(dimensions)s) AND place <= %(most)s)
ORDER BY dimension, place
