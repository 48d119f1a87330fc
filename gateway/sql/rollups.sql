-- Rollups of calls: what is added to them, and what readers add to what they find there. Pieces in braces are other pieces of
-- this file, or names of columns from dashboards/rollups/sets.py.

-- name: call
-- Calls as they count, with what corrected them by transactions before {upto}; `sign` is -1 where that is to be taken away.
SELECT {sign}::bigint AS sign, c.id, c.feature, c.tenant, c.cohort, c.user_ref, c.key, c.provider, c.model_served AS model,
       c.prompt_version, coalesce(a.outcome, c.outcome) AS outcome,
       c.error_class, c.labels, c.entities,
       ((coalesce(c.cost_usd, 0) + coalesce(a.usd, 0)) * 1000000000)::bigint AS cost_nano,
       c.cost_usd IS NULL AND a.usd IS NULL AS unpriced, c.cache_hit, c.attempts > 1 AS retried,
       c.fallback_from <> '' AS fallback, c.entities <> '{{}}' AS has_entities,
       c.input_tokens, c.cache_read_tokens, c.cache_write_tokens, c.audio_input_tokens, c.output_tokens, c.reasoning_tokens,
       c.audio_output_tokens, coalesce(a.tokens, 0) AS adjusted_tokens,
       CASE WHEN c.attempts > 0 OR c.cache_hit THEN nullif(c.latency_ms, 0) END AS latency_ms, c.first_token_ms,
       CASE WHEN c.latency_ms > 0 THEN c.gate_ms END AS gate_ms,
       CASE WHEN c.attempts > 0 AND c.latency_ms > 0 THEN c.latency_ms - c.gate_ms END AS provider_ms
FROM {source}
LEFT JOIN {corrected}
WHERE {which}

-- name: corrected
-- What corrects a call, looked up for each.
LATERAL (
    SELECT sum(cost_usd) AS usd, sum(tokens) AS tokens, max(nullif(outcome, '')) AS outcome
    FROM tollhouse_adjustment WHERE call_id = c.id AND written < {upto}
) a ON true

-- name: corrected_in_range
-- The same for all calls of a range at once.
(
    SELECT call_id, sum(cost_usd) AS usd, sum(tokens) AS tokens, max(nullif(outcome, '')) AS outcome
    FROM tollhouse_adjustment WHERE call_id >= %({first})s AND call_id < %({last})s AND written < {upto} GROUP BY call_id
) a ON a.call_id = c.id

-- name: old
-- Calls that were counted before and are corrected since.
(SELECT DISTINCT call_id FROM tollhouse_adjustment
 WHERE written >= %(after)s AND written < %(upto)s AND call_id IS NOT NULL) t JOIN tollhouse_call c ON c.id = t.call_id

-- name: sums
sum(sign) AS calls, sum(sign * cost_nano)::bigint AS cost_nano,
sum(sign) FILTER (WHERE unpriced AND input_tokens::bigint + cache_read_tokens + cache_write_tokens + audio_input_tokens
                  + output_tokens + reasoning_tokens + audio_output_tokens + adjusted_tokens > 0) AS unpriced_calls,
sum(sign) FILTER (WHERE cache_hit) AS cached_calls,
sum(sign) FILTER (WHERE retried) AS retried_calls, sum(sign * cost_nano) FILTER (WHERE retried)::bigint AS retried_nano,
sum(sign) FILTER (WHERE fallback) AS fallback_calls, sum(sign * cost_nano) FILTER (WHERE fallback)::bigint AS fallback_nano,
sum(sign) FILTER (WHERE has_entities) AS entity_calls,
sum(sign * input_tokens) AS input_tokens, sum(sign * cache_read_tokens) AS cache_read_tokens,
sum(sign * cache_write_tokens) AS cache_write_tokens, sum(sign * audio_input_tokens) AS audio_input_tokens,
sum(sign * output_tokens) AS output_tokens, sum(sign * reasoning_tokens) AS reasoning_tokens,
sum(sign * audio_output_tokens) AS audio_output_tokens, sum(sign * adjusted_tokens) AS adjusted_tokens,
sum(sign * (cost_nano / 1e9::float8) ^ 2) AS cost_squared

-- name: hour
-- The hour that a call was made in, by its id; hours begin so many seconds past the full one as those of the time zone do.
to_timestamp((('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000 - %(shift)s) / 3600 * 3600 + %(shift)s)

-- name: labelled
-- Once for each label, and once for what has none.
SELECT c.*, coalesce(l.name || '=' || l.value, '') AS label
FROM ({rows}) c LEFT JOIN LATERAL jsonb_each_text(c.labels) AS l (name, value) ON true

-- name: digest
sha256(convert_to(jsonb_build_array(%(kind)s::text, {dimensions})::text, 'UTF8'))

-- name: found
-- Calls on their way into the rollups: read once for all kinds, and where the planner can see how many there are.
CREATE TEMP TABLE tollhouse_rollup_found ON COMMIT DROP AS
SELECT c.*, {hour} AS at, {buckets} FROM ({rows}) c

-- name: combinations
-- The combinations of values that they have, with a number each, so that texts are compared once and not for every kind.
CREATE TEMP TABLE tollhouse_rollup_combinations ON COMMIT DROP AS
SELECT row_number() OVER ()::int AS combination, {texts} FROM tollhouse_rollup_found GROUP BY {texts}

-- name: numbered
CREATE TEMP TABLE tollhouse_rollup_numbered ON COMMIT DROP AS
SELECT c.combination, f.at, date_trunc('day', f.at, %(zone)s) AS day, {numbers}
FROM tollhouse_rollup_found f JOIN tollhouse_rollup_combinations c USING ({texts})

-- name: block
-- Keys of a feature are together, so that its sums are read without those of all others: sets.block is the same.
((get_byte(sha256(convert_to(feature, 'UTF8')), 0) * 256 + get_byte(sha256(convert_to(feature, 'UTF8')), 1))::bigint << 40)

-- name: keyed
-- Which keys of which kinds the combinations count under; several, of kinds that tell labels apart.
CREATE TEMP TABLE tollhouse_rollup_keyed (kind text, combination int, key_id bigint) ON COMMIT DROP

-- name: keys
-- Makes keys for values that are new, and says which key each combination counts under. Keys that are there are found by a query
-- of its own for each: the planner knows nothing of how many there are, and a join could be a loop of loops.
WITH wanted AS MATERIALIZED (
    SELECT {dimensions}, digest, (SELECT v.id FROM tollhouse_rollup_values v WHERE v.digest = d.digest) AS key_id
    FROM (SELECT {dimensions}, {digest} AS digest FROM (SELECT DISTINCT {dimensions} FROM {combinations} c) d) d
), made AS (
    INSERT INTO tollhouse_rollup_values (id, digest, kind, {dimensions})
    SELECT {block} + nextval('tollhouse_rollup_ids'), digest, %(kind)s, {dimensions} FROM wanted WHERE key_id IS NULL
    RETURNING id, digest
), every AS MATERIALIZED (
    SELECT {dimensions}, coalesce(w.key_id, m.id) AS found_key FROM wanted w LEFT JOIN made m USING (digest)
)
INSERT INTO tollhouse_rollup_keyed (kind, combination, key_id)
SELECT %(kind)s, c.combination, e.found_key
FROM {combinations} c JOIN (SELECT {dimensions}, found_key FROM every) e USING ({dimensions})

-- name: counting
-- Calls with the keys of a kind that they count under; single hours as long as they are kept.
tollhouse_rollup_numbered c JOIN tollhouse_rollup_keyed k USING (combination)
WHERE k.kind = %(kind)s AND (%(grain)s <> 'hour' OR c.at >= %(hours_since)s::timestamptz)

-- name: roll
-- Adds the changes to one kind of rollup, by hour, day or week.
INSERT INTO tollhouse_rollup AS r (kind, grain, at, key_id, {columns})
SELECT %(kind)s, %(grain)s, at, key_id, {counts}
FROM (SELECT {begins} AS at, k.key_id, {sums} FROM {counting} GROUP BY 1, 2) g
ON CONFLICT (kind, grain, at, key_id) DO UPDATE SET {added}

-- name: bucket
ceil(ln(greatest({ms}, %(least)s)) / %(ln_gamma)s)::int

-- name: buckets
-- Each latency apart, as metric and bucket, with the hour, day or week that it counts in.
SELECT at, key_id, metric, bucket, n
FROM (SELECT {begins} AS at, k.key_id, c.sign::int AS n, c.latency, c.first_token, c.gate, c.provider_time FROM {counting}) t,
     LATERAL (VALUES (1, latency), (2, first_token), (3, gate), (4, provider_time)) AS m (metric, bucket)
WHERE bucket IS NOT NULL

-- name: counted_buckets
SELECT at, key_id, metric, bucket, sum(n)::int AS n FROM ({buckets}) b GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0

-- name: sketch
-- Adds the changes' latencies, by bucket, and returns those that have too many entries by now.
WITH placed AS (
    {placed}
), added AS (
    INSERT INTO tollhouse_rollup_sketch AS r (kind, grain, at, key_id, latency, first_token, gate, provider)
    SELECT %(kind)s, %(grain)s, at, key_id,
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 1), ''),
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 2), ''),
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 3), ''),
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 4), '')
    FROM placed GROUP BY at, key_id
    ON CONFLICT (kind, grain, at, key_id) DO UPDATE SET
        latency = r.latency || excluded.latency, first_token = r.first_token || excluded.first_token,
        gate = r.gate || excluded.gate, provider = r.provider || excluded.provider
    RETURNING *
)
SELECT grain, at, key_id, latency, first_token, gate, provider FROM added
WHERE greatest(octet_length(latency), octet_length(first_token), octet_length(gate), octet_length(provider)) > %(most_bytes)s

-- name: compact
UPDATE tollhouse_rollup_sketch SET latency = %s, first_token = %s, gate = %s, provider = %s
WHERE kind = %s AND grain = %s AND at = %s AND key_id = %s

-- name: entities
-- Adds what was found of personal data.
INSERT INTO tollhouse_rollup_entity AS r (kind, grain, at, key_id, entity, found)
SELECT %(kind)s, %(grain)s, at, key_id, e.name, sum(sign * e.found::bigint)
FROM (SELECT {begins} AS at, k.key_id, c.sign, c.entities FROM {counting} AND c.has_entities) t,
     LATERAL jsonb_each_text(entities) AS e (name, found)
GROUP BY 3, 4, 5
ON CONFLICT (kind, grain, at, key_id, entity) DO UPDATE SET found = r.found + excluded.found

-- name: read
-- The watermark, and since when there are all hours, as this statement sees them, on every row, and one row at least: they must
-- be those that the parts were made for.
SELECT s.watermark, s.hours_since, f.* FROM (
    SELECT (SELECT watermark FROM tollhouse_rollup_state), (SELECT hours_since FROM tollhouse_rollup_state)
) s (watermark, hours_since)
LEFT JOIN ({parts}) f ON true

-- name: stretch
SELECT r.at, r.key_id, {columns} FROM {table} r
WHERE r.kind = %(kind)s AND r.grain = '{grain}' AND r.at >= %(since{n})s AND r.at < %(until{n})s {narrowed}

-- name: rolled
SELECT {at} AS at{values}, {totals}
FROM ({stretches}) r JOIN tollhouse_rollup_values k ON k.id = r.key_id AND k.kind = %(kind)s
WHERE {conditions}
GROUP BY {places}

-- name: keys_of
-- Keys of a kind, told to the planner one by one, which would think that they are many more.
SELECT k.id FROM tollhouse_rollup_values k WHERE k.kind = %(kind)s AND {conditions} LIMIT %(most_keys)s

-- name: rolled_by_key
-- The same summed up by key first, as numbers compare faster than texts.
SELECT r.at{values}, {totals}
FROM (SELECT {at} AS at, r.key_id, {totals} FROM ({stretches}) r GROUP BY 1, 2) r
    JOIN tollhouse_rollup_values k ON k.id = r.key_id AND k.kind = %(kind)s
WHERE {conditions}
GROUP BY {places}

-- name: amounts
SELECT v0, sum(cost_nano)::bigint AS cost_nano, sum(calls)::bigint AS calls FROM ({parts}) p GROUP BY v0 HAVING sum(calls) <> 0

-- name: dearest
-- Those who cost most, and how many there are in all.
SELECT v0, count(*) OVER () FROM ({amounts}) one ORDER BY cost_nano DESC, calls DESC, v0 LIMIT {most}

-- name: new_figures
SELECT {names}, {counts}
FROM (SELECT {at} AS at{values}, {sums} FROM (SELECT {hour} AS at, c.* FROM ({changes}) c) k WHERE {conditions} GROUP BY {places}) n

-- name: new_sketches
SELECT {names}, {entries}
FROM (
    SELECT {at} AS at{values}, m.metric, {bucket} AS bucket, sum(sign)::int AS n
    FROM (SELECT {hour} AS at, c.* FROM ({changes}) c) k, LATERAL (VALUES {metrics}) AS m (metric, ms)
    WHERE ms IS NOT NULL AND {conditions}
    GROUP BY {places}, metric, bucket
) counted
GROUP BY {names}

-- name: entries_of
coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = '{metric}'), '') AS {metric}

-- name: new_entities
SELECT {at} AS at{values}, sum(sign * e.found::bigint)::bigint AS found
FROM (SELECT {hour} AS at, c.* FROM ({changes}) c) k, LATERAL jsonb_each_text(k.entities) AS e (name, found)
WHERE {conditions} GROUP BY {places}

-- name: any_label
(EXISTS (SELECT FROM jsonb_each_text(k.labels) AS l WHERE l.key || '=' || l.value = ANY(%(where_label)s))
 OR k.labels = '{}' AND '' = ANY(%(where_label)s))

-- name: basis
-- What the rollups have counted. Those of another cluster, before a restore, tell nothing of transactions of this one.
SELECT watermark, built AND cluster = (SELECT system_identifier::text FROM pg_control_system()), time_zone, shift_s, hours_since
FROM tollhouse_rollup_state

-- name: since
-- What they have not: the first new call, and the first and the last call that is corrected, so that readers look no further. A
-- query of its own, as the planner has to know the watermark.
WITH made AS MATERIALIZED (
    SELECT id FROM tollhouse_call WHERE written >= %(after)s
), corrected AS MATERIALIZED (
    SELECT call_id FROM tollhouse_adjustment WHERE written >= %(after)s AND call_id IS NOT NULL
)
SELECT (SELECT id FROM made ORDER BY id LIMIT 1), (SELECT call_id FROM corrected ORDER BY call_id LIMIT 1),
       (SELECT call_id FROM corrected ORDER BY call_id DESC LIMIT 1)

-- name: some_calls
-- How many calls lie in a range, counted up to a limit.
SELECT count(*) FROM (SELECT FROM tollhouse_call WHERE id >= %(first)s AND id < %(last)s LIMIT %(most)s) c

-- name: horizon
SELECT txid_snapshot_xmin(txid_current_snapshot())

-- name: anything
SELECT EXISTS (SELECT FROM tollhouse_call WHERE written >= %(after)s AND written < %(upto)s)
    OR EXISTS (SELECT FROM tollhouse_adjustment WHERE written >= %(after)s AND written < %(upto)s)

-- name: cluster
SELECT system_identifier::text FROM pg_control_system()

-- name: newest
-- The latest transaction of those that wrote what is there.
SELECT greatest((SELECT max(written) FROM tollhouse_call), (SELECT max(written) FROM tollhouse_adjustment), 0)

-- name: compare
-- Calls of a range: how many there are of those that count, and how many were counted.
SELECT (SELECT count(*) FROM tollhouse_call WHERE id >= %(first)s AND id < %(last)s AND written < %(upto)s),
       (SELECT coalesce(sum(calls), 0) FROM tollhouse_rollup
        WHERE kind = 'core' AND grain = 'hour' AND at >= %(since)s AND at < %(until)s)

-- name: fold
-- Makes days from hours, or weeks from days.
INSERT INTO tollhouse_rollup (kind, grain, at, key_id, {columns})
SELECT kind, %(grain)s, date_trunc(%(grain)s, at, %(zone)s), key_id, {totals}
FROM tollhouse_rollup WHERE kind = %(kind)s AND grain = %(of)s AND at >= %(since)s AND at < %(until)s GROUP BY 1, 3, 4

-- name: fold_entities
INSERT INTO tollhouse_rollup_entity (kind, grain, at, key_id, entity, found)
SELECT kind, %(grain)s, date_trunc(%(grain)s, at, %(zone)s), key_id, entity, sum(found)
FROM tollhouse_rollup_entity WHERE kind = %(kind)s AND grain = %(of)s AND at >= %(since)s AND at < %(until)s GROUP BY 1, 3, 4, 5

-- name: fold_sketches
WITH folded AS (
    INSERT INTO tollhouse_rollup_sketch (kind, grain, at, key_id, latency, first_token, gate, provider)
    SELECT kind, %(grain)s, date_trunc(%(grain)s, at, %(zone)s), key_id, string_agg(latency, ''::bytea),
           string_agg(first_token, ''::bytea), string_agg(gate, ''::bytea), string_agg(provider, ''::bytea)
    FROM tollhouse_rollup_sketch WHERE kind = %(kind)s AND grain = %(of)s AND at >= %(since)s AND at < %(until)s GROUP BY 1, 3, 4
    RETURNING *
)
SELECT grain, at, key_id, latency, first_token, gate, provider FROM folded
WHERE greatest(octet_length(latency), octet_length(first_token), octet_length(gate), octet_length(provider)) > %(most_bytes)s

-- name: clear
-- What there is of a time, and sums of another time zone's days and weeks that began before it and end in it.
DELETE FROM {table} WHERE grain = ANY(%(grains)s) AND at < %(until)s AND (at >= %(since)s
    OR at > %(since)s - CASE grain WHEN 'week' THEN interval '7 days' ELSE interval '1 day' END
       AND at <> date_trunc(grain, at, %(zone)s))

-- name: counted
-- What a kind of rollup has, by its days, or weeks.
SELECT date_trunc(%(unit)s, at, %(zone)s) AS day, sum(calls)::bigint, sum(cost_nano)::bigint, sum({tokens})::bigint
FROM tollhouse_rollup WHERE kind = %(kind)s AND grain = %(grain)s GROUP BY 1

-- name: to_count
-- What the calls come to that it should have.
SELECT date_trunc(%(unit)s, {hour}, %(zone)s) AS day, count(*), sum(cost_nano)::bigint, sum({tokens})::bigint
FROM ({changes}) c GROUP BY 1

-- name: holding
-- The oldest transaction of this database that has written something and still runs, which may be a prepared one. Of other
-- users' sessions that this one may not look into there is no start, and nothing to tell.
SELECT pid, name, now() - since FROM (
    SELECT pid, application_name AS name, xact_start AS since, backend_xid AS xid FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL
    SELECT 0, gid, prepared, transaction FROM pg_prepared_xacts
) t ORDER BY age(xid) DESC LIMIT 1

-- name: sizes
SELECT relname, pg_relation_size(oid), pg_total_relation_size(oid), greatest(reltuples, 0)::bigint FROM pg_class
WHERE relkind = 'r' AND relname LIKE 'tollhouse\_rollup%%' AND relname <> 'tollhouse_rollup_state' ORDER BY relname

-- name: labels_of
SELECT DISTINCT l.name || '=' || l.value FROM tollhouse_call c, LATERAL jsonb_each_text(c.labels) AS l (name, value)
WHERE c.id = ANY(%s)

-- name: sweep
-- Labels that no call has any more.
WITH gone AS (
    DELETE FROM tollhouse_rollup_values v WHERE v.kind = 'label' AND v.label = ANY(%s)
        AND NOT EXISTS (SELECT FROM tollhouse_rollup r WHERE r.kind = 'label' AND r.key_id = v.id AND r.calls <> 0)
    RETURNING v.id
), no_latencies AS (
    DELETE FROM tollhouse_rollup_sketch r USING gone WHERE r.kind = 'label' AND r.key_id = gone.id
), nothing_found AS (
    DELETE FROM tollhouse_rollup_entity r USING gone WHERE r.kind = 'label' AND r.key_id = gone.id
)
DELETE FROM tollhouse_rollup r USING gone WHERE r.kind = 'label' AND r.key_id = gone.id

-- name: prune
-- Hours that are not kept any more.
DELETE FROM {table} WHERE kind = ANY(%(kinds)s) AND grain = 'hour' AND at < %(since)s

-- name: forget
-- Its digest is of no values then, so that nothing is added to it any more.
UPDATE tollhouse_rollup_values SET user_ref = '', digest = sha256(uuid_send(gen_random_uuid())) WHERE user_ref = %s
