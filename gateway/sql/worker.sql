-- Rows of running workers.

-- name: beat
INSERT INTO tollhouse_worker (id, host, pid, started_at, seen_at) VALUES (%s, %s, %s, now(), now())
ON CONFLICT (id) DO UPDATE SET seen_at = now()

-- name: bury
-- All but the last one seen, so that it is known since when there is none.
DELETE FROM tollhouse_worker
WHERE seen_at < now() - interval '1 day' AND seen_at < (SELECT max(seen_at) FROM tollhouse_worker)

-- name: silence
SELECT extract(epoch FROM now() - max(seen_at))::float8 FROM tollhouse_worker
