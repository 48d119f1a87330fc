-- name: biggest
-- Who and what spent most of what a range of calls cost: three of each. Reads the range once, by key.
WITH spent AS MATERIALIZED (
    SELECT feature, tenant, user_ref, provider || '/' || model_served AS model, prompt_version, cost_usd
    FROM tollhouse_call c
    WHERE c.id >= %(first)s AND c.id < %(last)s AND c.cost_usd > 0
        AND (%(feature)s = '' OR c.feature = %(feature)s) AND (%(tenant)s = '' OR c.tenant = %(tenant)s)
        AND (%(key)s = '' OR c.key = %(key)s) AND (%(user)s = '' OR c.user_ref = %(user)s)
        AND (%(cohort)s = '' OR c.cohort = %(cohort)s) AND (%(model)s = '' OR c.model_served = %(model)s)
        AND (%(provider)s = '' OR c.provider = %(provider)s)
), named AS (
    SELECT part, value, sum(cost_usd) AS usd FROM spent, LATERAL (VALUES
        ('feature', feature), ('tenant', tenant), ('user', user_ref), ('model', model), ('version', prompt_version)
    ) AS parts (part, value) WHERE value <> '' GROUP BY part, value
), ranked AS (
    SELECT part, value, usd, row_number() OVER (PARTITION BY part ORDER BY usd DESC, value) AS place FROM named
)
SELECT part, value, usd FROM ranked WHERE place <= 3 ORDER BY part, place

-- name: breaker_open
-- One alert for an outage of a target: while one is open, any process that sees the outage makes it last. It ends by
-- itself an hour after the last one did, in case none of them lives to see the target well again.
WITH lasts AS (
    UPDATE tollhouse_alert SET ends_at = now() + interval '1 hour'
    WHERE kind = 'breaker' AND detail ->> 'target' = %(target)s AND resolved_at IS NULL RETURNING id
)
INSERT INTO tollhouse_alert (kind, severity, dedup_key, summary, detail, ends_at)
SELECT 'breaker', 'warning', 'breaker:' || left(%(target)s, 200) || ':' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'),
    left(%(target)s || ' failed several times in a row and is left alone for a while.', 500),
    json_build_object('target', %(target)s::text), now() + interval '1 hour'
WHERE NOT EXISTS (SELECT 1 FROM lasts)
ON CONFLICT (dedup_key) DO NOTHING

-- name: breaker_closed
UPDATE tollhouse_alert SET resolved_at = now(), resolution = 'The target answers again.'
WHERE kind = 'breaker' AND detail ->> 'target' = %(target)s AND resolved_at IS NULL
