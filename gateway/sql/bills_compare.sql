-- What the ledger has of a provider for one day (an id range), to be compared with its bill. By model.

-- name: day
SELECT model_served, sum(cost_usd), sum(tokens),
       coalesce(sum(calls) FILTER (WHERE tokens > 0 OR cost_usd <> 0), 0)::bigint
FROM tollhouse_cost_entry WHERE provider = %s AND id >= %s AND id < %s GROUP BY model_served

-- name: clues
-- Calls whose cost or tokens may be another one at the vendor: without a price, lost, estimated, with retries that the vendor
-- may not have billed, and those that began in the last minutes of the day, which the vendor may have put into the next.
SELECT model_served,
       sum(input_tokens::bigint + cache_read_tokens + cache_write_tokens + audio_input_tokens) AS input_tokens,
       sum(cache_read_tokens) AS cached_tokens,
       sum(output_tokens::bigint + reasoning_tokens + audio_output_tokens) AS output_tokens,
       count(*) FILTER (WHERE cost_usd IS NULL AND NOT EXISTS (
           SELECT FROM tollhouse_adjustment a WHERE a.call_id = c.id AND a.price_id IS NOT NULL)) AS unpriced,
       count(*) FILTER (WHERE outcome = 'lost') AS lost,
       coalesce(sum(cost_usd) FILTER (WHERE outcome = 'lost'), 0) AS lost_usd,
       coalesce(sum(cost_usd) FILTER (WHERE usage_estimated AND outcome <> 'lost' AND attempts < 2), 0) AS estimated_usd,
       coalesce(sum(cost_usd) FILTER (WHERE usage_estimated AND outcome <> 'lost' AND attempts > 1), 0) AS retried_usd,
       coalesce(sum(cost_usd) FILTER (WHERE id >= %s), 0) AS late_usd
FROM tollhouse_call c WHERE provider = %s AND id >= %s AND id < %s GROUP BY model_served

-- name: bill_adjustments
SELECT count(*) FROM tollhouse_adjustment a JOIN tollhouse_bill_line l ON l.id = a.bill_line_id
WHERE l.provider = ANY(%s) AND l.day BETWEEN %s AND %s
