-- Trips of breakers, as processes see them.

-- name: trip
-- One opening of a breaker, from its first writing to its last: whoever repeats it writes the same row. Moments are told by
-- their distance in seconds, so that all are by the database's clock.
INSERT INTO tollhouse_breaker_trip (id, process, provider, model, opened_at, retry_at, closed_at, failures, failed_probes,
    error_class, http_status)
VALUES (%(id)s, %(process)s, left(%(provider)s, 100), left(%(model)s, 200), now() - %(opened_s)s * interval '1 second',
    now() - %(retry_s)s * interval '1 second', now() - %(closed_s)s::float8 * interval '1 second', %(failures)s,
    %(failed_probes)s, left(%(error_class)s, 100), %(http_status)s)
ON CONFLICT (id) DO UPDATE SET retry_at = EXCLUDED.retry_at, closed_at = EXCLUDED.closed_at,
    failed_probes = EXCLUDED.failed_probes, error_class = EXCLUDED.error_class, http_status = EXCLUDED.http_status

-- name: newest
-- The newest trip of each of these targets, from whichever process.
SELECT t.provider, t.model, b.closed_at
FROM unnest(%(providers)s::text[], %(models)s::text[]) AS t (provider, model)
CROSS JOIN LATERAL (
    SELECT closed_at FROM tollhouse_breaker_trip b WHERE b.provider = t.provider AND b.model = t.model
    ORDER BY b.opened_at DESC LIMIT 1
) AS b
