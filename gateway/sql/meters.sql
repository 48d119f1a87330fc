-- Meters that all processes add to.

-- name: add
-- Counters and histograms: what came since the last time. In the order of the keys, so that two processes never wait for
-- each other. Of a histogram whose buckets a release changed, the old counts are worth nothing.
INSERT INTO tollhouse_meter (key, name, labels, process, values, at)
SELECT decode(m ->> 'key', 'hex'), m ->> 'name', m -> 'labels', '',
    ARRAY(SELECT v::float8 FROM jsonb_array_elements_text(m -> 'values') WITH ORDINALITY AS t (v, i) ORDER BY i), now()
FROM jsonb_array_elements(%s::jsonb) AS m ORDER BY 1
ON CONFLICT (key) DO UPDATE SET at = now(), values = CASE
    WHEN cardinality(tollhouse_meter.values) = cardinality(EXCLUDED.values) THEN ARRAY(
        SELECT a + b FROM unnest(tollhouse_meter.values, EXCLUDED.values) WITH ORDINALITY AS t (a, b, i) ORDER BY i)
    ELSE EXCLUDED.values END

-- name: set
-- Gauges: what is now.
INSERT INTO tollhouse_meter (key, name, labels, process, values, at)
SELECT decode(m ->> 'key', 'hex'), m ->> 'name', m -> 'labels', m ->> 'process', ARRAY[(m ->> 'value')::float8], now()
FROM jsonb_array_elements(%s::jsonb) AS m ORDER BY 1
ON CONFLICT (key) DO UPDATE SET at = now(), values = EXCLUDED.values

-- name: forget
-- But for those that somebody has in hand just now, so that two processes never wait for each other.
DELETE FROM tollhouse_meter WHERE key IN (
    SELECT key FROM tollhouse_meter WHERE process <> '' AND at < now() - %s * interval '1 second' FOR UPDATE SKIP LOCKED)

-- name: read
SELECT name, labels, values FROM tollhouse_meter
WHERE process = '' OR at >= now() - %s * interval '1 second' ORDER BY name, key
