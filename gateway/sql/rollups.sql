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
LEFT JOIN LATERAL (
    SELECT sum(cost_usd) AS usd, sum(tokens) AS tokens, max(nullif(outcome, '')) AS outcome
    FROM tollhouse_adjustment WHERE call_id = c.id AND written < {upto}
) a ON true
WHERE {which}

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

-- name: day
date_trunc('day', at, %(zone)s)

-- name: labelled
-- Once for each label, and once for a call without any.
SELECT c.*, coalesce(l.name || '=' || l.value, '') AS label
FROM ({changes}) c LEFT JOIN LATERAL jsonb_each_text(c.labels) AS l (name, value) ON true

-- name: digest
sha256(convert_to(jsonb_build_array(%(kind)s::text, {dimensions})::text, 'UTF8'))

-- name: key_id
-- By a query of its own for each row: the planner knows nothing of how many there are, and a join could be a loop of loops.
(SELECT v.id FROM tollhouse_rollup_values v WHERE v.digest = g.wanted) AS key_id

-- name: values
-- Keys for combinations of values that are new.
INSERT INTO tollhouse_rollup_values (digest, kind, {dimensions})
SELECT digest, %(kind)s, {dimensions}
FROM (SELECT {digest} AS digest, {dimensions} FROM ({changes}) c GROUP BY {dimensions}) g
WHERE NOT EXISTS (SELECT FROM tollhouse_rollup_values v WHERE v.digest = g.digest)
ON CONFLICT (digest) DO NOTHING

-- name: roll
-- Adds the changes to one kind of rollup, by hour and by day.
WITH grouped AS (
    SELECT {hour} AS at, {dimensions}, {sums} FROM ({changes}) c GROUP BY 1, {dimensions}
), keyed AS MATERIALIZED (
    SELECT at, {key_id}, {columns} FROM (SELECT *, {digest} AS wanted FROM grouped) g
)
INSERT INTO tollhouse_rollup AS r (kind, grain, at, key_id, {columns})
SELECT %(kind)s, grain.name, CASE grain.name WHEN 'day' THEN {day} ELSE at END, key_id, {totals}
FROM keyed, (VALUES ('hour'), ('day')) AS grain (name)
GROUP BY 1, 2, 3, 4
ON CONFLICT (kind, grain, at, key_id) DO UPDATE SET {added}

-- name: bucket
ceil(ln(greatest(ms, %(least)s)) / %(ln_gamma)s)::int

-- name: sketch
-- Adds the changes' latencies, by bucket, and returns those that have too many entries by now.
WITH entries AS (
    SELECT {hour} AS at, {dimensions}, metric, bucket, sum(sign)::int AS n
    FROM ({changes}) c,
         LATERAL (VALUES ('l', latency_ms), ('f', first_token_ms), ('g', gate_ms), ('p', provider_ms)) AS m (metric, ms),
         LATERAL (SELECT {bucket} AS bucket) AS b
    WHERE ms IS NOT NULL GROUP BY 1, {dimensions}, metric, bucket
), keyed AS MATERIALIZED (
    SELECT at, {key_id}, metric, bucket, n FROM (SELECT *, {digest} AS wanted FROM entries) g
), placed AS (
    SELECT grain.name AS grain, CASE grain.name WHEN 'day' THEN {day} ELSE at END AS at, key_id, metric, bucket,
           sum(n)::int AS n
    FROM keyed, (VALUES ('hour'), ('day')) AS grain (name)
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0
), added AS (
    INSERT INTO tollhouse_rollup_sketch AS r (kind, grain, at, key_id, latency, first_token, gate, provider)
    SELECT %(kind)s, grain, at, key_id,
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 'l'), ''),
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 'f'), ''),
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 'g'), ''),
           coalesce(string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) FILTER (WHERE metric = 'p'), '')
    FROM placed GROUP BY grain, at, key_id
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
-- Adds what was found of personal data, under the keys of the kind `core`.
WITH found AS (
    SELECT {hour} AS at, {dimensions}, e.name AS entity, sum(sign * e.found::bigint) AS found
    FROM ({changes}) c, LATERAL jsonb_each_text(c.entities) AS e (name, found) GROUP BY 1, {dimensions}, e.name
), keyed AS MATERIALIZED (
    SELECT at, {key_id}, entity, found FROM (SELECT *, {digest} AS wanted FROM found) g
)
INSERT INTO tollhouse_rollup_entity AS r (kind, grain, at, key_id, entity, found)
SELECT %(kind)s, grain.name, CASE grain.name WHEN 'day' THEN {day} ELSE at END, key_id, entity, sum(found)
FROM keyed, (VALUES ('hour'), ('day')) AS grain (name)
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (kind, grain, at, key_id, entity) DO UPDATE SET found = r.found + excluded.found

-- name: read
-- The watermark as this statement sees it, on every row, and one row at least: it must be the one that the parts were made for.
SELECT s.watermark, f.* FROM (SELECT (SELECT watermark FROM tollhouse_rollup_state) AS watermark) s
LEFT JOIN (SELECT {names}, {totals} FROM ({parts}) parts GROUP BY {names}) f ON true

-- name: rolled
SELECT {at} AS at{values}, {totals}
FROM {table} r JOIN tollhouse_rollup_values k ON k.id = r.key_id
WHERE r.kind = %(kind)s AND r.grain = '{grain}' AND r.at >= %({since})s AND r.at < %({until})s AND {conditions}
GROUP BY {places}

-- name: new_figures
SELECT {at} AS at{values}, {sums} FROM (SELECT {hour} AS at, c.* FROM ({changes}) c) k WHERE {conditions} GROUP BY {places}

-- name: new_sketches
SELECT {names}, string_agg(int2send(bucket::int2) || int4send(n), ''::bytea) AS entries
FROM (
    SELECT {at} AS at{values}, {bucket} AS bucket, sum(sign)::int AS n
    FROM (SELECT {hour} AS at, {metric} AS ms, c.* FROM ({changes}) c) k WHERE ms IS NOT NULL AND {conditions}
    GROUP BY {places}, bucket
) counted
GROUP BY {names}

-- name: new_entities
SELECT {at} AS at{values}, sum(sign * e.found::bigint) AS found
FROM (SELECT {hour} AS at, c.* FROM ({changes}) c) k, LATERAL jsonb_each_text(k.entities) AS e (name, found)
WHERE {conditions} GROUP BY {places}

-- name: any_label
(EXISTS (SELECT FROM jsonb_each_text(k.labels) AS l WHERE l.key || '=' || l.value = ANY(%(where_label)s))
 OR k.labels = '{}' AND '' = ANY(%(where_label)s))

-- name: basis
-- What the rollups have counted. Those of another cluster, before a restore, tell nothing of transactions of this one.
SELECT watermark, built AND cluster = (SELECT system_identifier::text FROM pg_control_system()), time_zone, shift_s
FROM tollhouse_rollup_state

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
INSERT INTO tollhouse_rollup (kind, grain, at, key_id, {columns})
SELECT kind, 'day', date_trunc('day', at, %(zone)s), key_id, {totals}
FROM tollhouse_rollup WHERE grain = 'hour' GROUP BY 1, 3, 4

-- name: fold_entities
INSERT INTO tollhouse_rollup_entity (kind, grain, at, key_id, entity, found)
SELECT kind, 'day', date_trunc('day', at, %(zone)s), key_id, entity, sum(found)
FROM tollhouse_rollup_entity WHERE grain = 'hour' GROUP BY 1, 3, 4, 5

-- name: fold_sketches
WITH folded AS (
    INSERT INTO tollhouse_rollup_sketch (kind, grain, at, key_id, latency, first_token, gate, provider)
    SELECT kind, 'day', date_trunc('day', at, %(zone)s), key_id, string_agg(latency, ''::bytea), string_agg(first_token, ''::bytea),
           string_agg(gate, ''::bytea), string_agg(provider, ''::bytea)
    FROM tollhouse_rollup_sketch WHERE kind = %(kind)s AND grain = 'hour' GROUP BY 1, 3, 4
    RETURNING *
)
SELECT grain, at, key_id, latency, first_token, gate, provider FROM folded
WHERE greatest(octet_length(latency), octet_length(first_token), octet_length(gate), octet_length(provider)) > %(most_bytes)s

-- name: counted
-- What a kind of rollup has, by its days.
SELECT date_trunc('day', at, %(zone)s) AS day, sum(calls)::bigint, sum(cost_nano)::bigint, sum({tokens})::bigint
FROM tollhouse_rollup WHERE kind = %(kind)s AND grain = %(grain)s GROUP BY 1

-- name: to_count
-- What the calls come to that it should have.
SELECT date_trunc('day', {hour}, %(zone)s) AS day, count(*), sum(cost_nano)::bigint, sum({tokens})::bigint
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
)
DELETE FROM tollhouse_rollup r USING gone WHERE r.kind = 'label' AND r.key_id = gone.id

-- name: forget
-- Its digest is of no values then, so that nothing is added to it any more.
UPDATE tollhouse_rollup_values SET user_ref = '', digest = sha256(uuid_send(gen_random_uuid())) WHERE user_ref = %s
