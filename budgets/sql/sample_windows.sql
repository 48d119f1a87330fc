-- What open windows have spent, for those that moved since their last sample, which is a share of their length ago: one
-- parameter, of how many samples a window has at most. Takes no lock on a window.
INSERT INTO tollhouse_window_sample (window_id, at, spent)
SELECT w.id, now(), w.spent FROM tollhouse_window w
LEFT JOIN LATERAL (
    SELECT s.at, s.spent FROM tollhouse_window_sample s WHERE s.window_id = w.id ORDER BY s.at DESC LIMIT 1
) latest ON true
WHERE w.ends_at > now() AND w.starts_at <= now() AND w.spent <> coalesce(latest.spent, 0)
    AND now() - coalesce(latest.at, '-infinity') >= (w.ends_at - w.starts_at) / %s
