-- Calls whose cost may have to be corrected, and the booking of corrections. Windows are locked as in ledger.sql, by id, before
-- everything else.

-- name: calls
-- The next calls after an id, with what corrects them so far. Calls without a price row that have a cost are refusals and
-- replies from the cache: nothing to price.
SELECT c.id, c.feature, c.tenant, c.user_ref, c.cohort, c.key, c.route, c.provider, c.model_served, c.outcome, c.latency_ms,
       c.input_tokens, c.cache_read_tokens, c.cache_write_tokens, c.audio_input_tokens,
       c.output_tokens, c.reasoning_tokens, c.audio_output_tokens,
       c.usage_estimated, c.price_id, c.cost_usd, c.held_usd,
       coalesce((SELECT sum(a.cost_usd) FROM tollhouse_adjustment a WHERE a.call_id = c.id AND a.price_id IS NOT NULL), 0)
           AS repriced_usd,
       EXISTS (SELECT FROM tollhouse_adjustment a WHERE a.call_id = c.id AND a.price_id IS NOT NULL) AS repriced,
       EXISTS (SELECT FROM tollhouse_adjustment a WHERE a.call_id = c.id AND a.price_id IS NULL) AS settled_late
FROM tollhouse_call c
WHERE c.id > %s AND c.id < %s AND (c.price_id IS NOT NULL OR c.cost_usd IS NULL)
    AND (%s = '' OR c.feature = %s) AND (%s = '' OR c.model_served = %s)
ORDER BY c.id LIMIT %s

-- name: windows
-- Windows of money that are still open, of budgets that are active, each with the times in which calls counted in it: its own,
-- and those of windows of earlier calendars, which it took over when it was made.
SELECT w.budget_id, w.value, w.id, own.starts_at, own.ends_at, own.made_at
FROM tollhouse_window w JOIN tollhouse_budget b ON b.id = w.budget_id
JOIN tollhouse_window own ON own.budget_id = w.budget_id AND own.value = w.value
    AND (own.id = w.id OR own.calendar < w.calendar AND own.starts_at < w.ends_at AND own.ends_at > w.starts_at)
WHERE w.ends_at > now() AND w.calendar = b.calendar AND b.active AND b.metric = 'usd'

-- name: repriced
-- What corrects these calls by now, read after the locks are held.
SELECT call_id, sum(cost_usd) FROM tollhouse_adjustment WHERE call_id = ANY(%s) AND price_id IS NOT NULL GROUP BY call_id

-- name: move
UPDATE tollhouse_window SET spent = %s, alerted = %s WHERE id = %s
