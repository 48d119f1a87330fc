-- Removing what has expired. Each transaction first says that it has to see expired rows, and locks the legal holds, so that
-- none is set while it removes, and no other worker removes at the same time; and what says how long rows are kept, so that
-- nothing is removed by a rule that has just been changed.

-- name: begin
SET LOCAL tollhouse.sees_expired = 'on'

-- name: lock
LOCK TABLE tollhouse_legal_hold IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE tollhouse_retention_rule, tollhouse_retention_kind IN SHARE MODE

-- name: keep_days
SELECT now(), tollhouse_keep_days_v1(%s)

-- name: held
-- Whether the row `c`, a call, is under a legal hold. Part of other queries.
EXISTS (SELECT FROM tollhouse_legal_hold h WHERE h.lifted_at IS NULL
        AND (h.tenant <> '' AND h.tenant = c.tenant OR h.user_ref <> '' AND h.user_ref = c.user_ref))

-- name: call_expired
c.id < (SELECT tollhouse_last_horizon_v1('call'))
AND NOT tollhouse_visible_v1(c.id, c.feature, (SELECT tollhouse_horizons_v1('call')))

-- name: payload_expired
(c.id IS NULL OR NOT (tollhouse_visible_v1(c.id, c.feature, (SELECT tollhouse_horizons_v1('call')))
                      AND tollhouse_visible_v1(c.id, c.feature, (SELECT tollhouse_horizons_v1('payload')))))

-- name: count_call
SELECT count(*) FILTER (WHERE NOT {held}), count(*) FILTER (WHERE {held})
FROM tollhouse_call c WHERE c.id >= %(first)s AND c.id < %(last)s AND {call_expired}

-- name: count_payload
SELECT count(*) FILTER (WHERE NOT {held}), count(*) FILTER (WHERE {held})
FROM tollhouse_payload p LEFT JOIN tollhouse_call c ON c.id = p.id AND c.id >= %(first)s AND c.id < %(last)s
WHERE p.id >= %(first)s AND p.id < %(last)s AND {payload_expired}

-- name: book
INSERT INTO tollhouse_call_sum (day, feature, tenant, cohort, key, source, prompt_version, route, provider, model_served, outcome,
                                calls, cost_usd, tokens)
SELECT (to_timestamp(('x' || left(replace(c.id::text, '-', ''), 12))::bit(48)::bigint / 1000) AT TIME ZONE 'UTC')::date,
       c.feature, c.tenant, c.cohort, c.key, c.source, c.prompt_version, c.route, c.provider, c.model_served, c.outcome,
       count(*), sum(coalesce(c.cost_usd, 0) + coalesce(a.cost_usd, 0)),
       sum(c.input_tokens::bigint + c.cache_read_tokens + c.cache_write_tokens + c.audio_input_tokens
           + c.output_tokens + c.reasoning_tokens + c.audio_output_tokens + coalesce(a.tokens, 0))
FROM {source} c LEFT JOIN LATERAL (
    SELECT sum(cost_usd) AS cost_usd, sum(tokens) AS tokens FROM tollhouse_adjustment WHERE call_id = c.id
) a ON true
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
ON CONFLICT (day, feature, tenant, cohort, key, source, prompt_version, route, provider, model_served, outcome) DO UPDATE SET
    calls = tollhouse_call_sum.calls + excluded.calls, cost_usd = tollhouse_call_sum.cost_usd + excluded.cost_usd,
    tokens = tollhouse_call_sum.tokens + excluded.tokens

-- name: delete_call
WITH gone AS (
    DELETE FROM tollhouse_call WHERE id >= %(first)s AND id < %(last)s AND id = ANY(ARRAY(
        SELECT c.id FROM tollhouse_call c
        WHERE c.id >= %(first)s AND c.id < %(last)s AND c.written < %(before)s AND {call_expired} AND NOT {held}
        ORDER BY c.id LIMIT %(batch)s
    )) RETURNING *
), booked AS ({book})
SELECT count(*) FROM gone

-- name: delete_payload
WITH gone AS (
    DELETE FROM tollhouse_payload WHERE id >= %(first)s AND id < %(last)s AND id = ANY(ARRAY(
        SELECT p.id
        FROM tollhouse_payload p LEFT JOIN tollhouse_call c ON c.id = p.id AND c.id >= %(first)s AND c.id < %(last)s
        WHERE p.id >= %(first)s AND p.id < %(last)s AND {payload_expired} AND NOT {held}
        ORDER BY p.id LIMIT %(batch)s
    )) RETURNING id
)
SELECT count(*) FROM gone

-- name: partitions
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1

-- name: ran
UPDATE tollhouse_retention_kind SET ran_at = now() WHERE kind = %s

-- name: removed
UPDATE tollhouse_retention_kind SET removed_at = now(), removed = %s WHERE kind = %s
