-- What the versions of a prompt did since a moment, for their pages. Read along the index (feature, id); the playground's
-- calls are left out, as they are no traffic.

-- name: figures
SELECT prompt_version, count(*) FILTER (WHERE entry = 'call'), coalesce(sum(cost_usd), 0),
       count(*) FILTER (WHERE entry = 'call' AND outcome IN ('provider_error', 'timeout', 'ledger_unavailable', 'lost')),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE entry = 'call' AND outcome IN ('ok', 'truncated', 'filtered'))
FROM tollhouse_cost_entry
WHERE feature = %s AND id >= %s AND prompt_version = ANY(%s) AND source <> 'playground'
GROUP BY prompt_version
