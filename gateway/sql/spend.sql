-- What calls of a feature cost in ranges of time, read one by one along the index (feature, id): of short ones only, as the rest
-- is read from rollups. Corrections that were booked later count with their calls.

-- name: spend
-- For each slice of time, and for each value of each dimension now and before; `edges` are the ids that slices begin with, counted
-- from 0, those of the time before first. {ranges} and {corrected} say which ids. Money is in nano-dollars, as rollups have it.
WITH corrected AS (
    SELECT call_id, sum(cost_usd) AS usd, sum(tokens) AS tokens, max(outcome) AS outcome
    FROM tollhouse_adjustment WHERE {corrected} GROUP BY call_id
), called AS (
    SELECT width_bucket(c.id, %(edges)s::uuid[]) - 1 AS slice, c.id >= %(since)s AS now,
           c.prompt_version, CASE WHEN c.provider = '' THEN c.model_served ELSE c.provider || '/' || c.model_served END AS model,
           c.tenant, c.cohort, c.key, c.user_ref, c.cost_usd IS NULL AND a.usd IS NULL AS unpriced,
           ((coalesce(c.cost_usd, 0) + coalesce(a.usd, 0)) * 1000000000)::bigint AS nano,
           coalesce(nullif(a.outcome, ''), c.outcome) = ANY(%(errors)s) AS error,
           c.input_tokens::bigint + c.cache_read_tokens + c.cache_write_tokens + c.audio_input_tokens
               + c.output_tokens + c.reasoning_tokens + c.audio_output_tokens + coalesce(a.tokens, 0) AS tokens
    FROM tollhouse_call c LEFT JOIN corrected a ON a.call_id = c.id
    WHERE c.feature = %(feature)s AND ({ranges}) AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY(%(tenants)s::text[]))
), grouped AS (
    -- grouping() has a bit for each of its columns, the first one highest, that is 0 where the row is of a value of it.
    SELECT CASE grouping(slice, prompt_version, model, tenant, cohort, key, user_ref)
               WHEN 63 THEN 'slice' WHEN 95 THEN 'prompt_version' WHEN 111 THEN 'model' WHEN 119 THEN 'tenant'
               WHEN 123 THEN 'cohort' WHEN 125 THEN 'key' ELSE 'user_ref' END AS dimension,
           coalesce(slice::text, prompt_version, model, tenant, cohort, key, user_ref) AS value, now,
           sum(nano)::bigint AS nano, count(*) AS calls, count(*) FILTER (WHERE error) AS errors, sum(tokens)::bigint AS tokens,
           count(*) FILTER (WHERE unpriced AND tokens > 0) AS unpriced
    FROM called
    GROUP BY now, GROUPING SETS ((slice), (prompt_version), (model), (tenant), (cohort), (key), (user_ref))
)
SELECT dimension, value, now, nano, calls, errors, tokens, unpriced
FROM grouped WHERE dimension = 'slice' OR dimension = ANY(%(dimensions)s)
