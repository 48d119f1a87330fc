-- Open windows whose forecast is missing or old, the oldest first; parameters: how many forecasts a window has at most, and
-- how many of them are made in one run.
SELECT w.id FROM tollhouse_window w
JOIN tollhouse_budget b ON b.id = w.budget_id
LEFT JOIN tollhouse_forecast f ON f.window_id = w.id
WHERE w.ends_at > now() AND w.starts_at <= now() AND b.active AND w.spent > 0
    AND now() - coalesce(f.made_at, '-infinity') >= (w.ends_at - w.starts_at) / %s
ORDER BY f.made_at NULLS FIRST, w.id LIMIT %s
