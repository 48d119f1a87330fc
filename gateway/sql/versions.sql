-- What the versions of a prompt did since a moment, for their pages. Read along the index (feature, id); the playground's
-- calls are left out, as they are no traffic. Costs are with their adjustments, which are joined here and not read from the
-- view tollhouse_cost_entry, so that the calls are read once.

-- name: figures
SELECT c.prompt_version, count(*), coalesce(sum(c.cost_usd), 0) + coalesce(sum(a.cost_usd), 0),
       count(*) FILTER (WHERE c.outcome IN ('provider_error', 'timeout', 'ledger_unavailable', 'lost')),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY c.latency_ms)
           FILTER (WHERE c.outcome IN ('ok', 'truncated', 'filtered'))
FROM tollhouse_call c
LEFT JOIN (
    SELECT call_id, sum(cost_usd) AS cost_usd FROM tollhouse_adjustment WHERE call_id >= %(since)s GROUP BY call_id
) a ON a.call_id = c.id
WHERE c.feature = %(feature)s AND c.id >= %(since)s AND c.prompt_version = ANY(%(addresses)s) AND c.source <> 'playground'
  AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY(%(tenants)s::text[]))
GROUP BY c.prompt_version
