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
