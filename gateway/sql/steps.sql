-- Steps of applications, written in batches.

-- name: add
-- One that is there already was written by a batch whose answer was lost.
INSERT INTO tollhouse_step (id, parent, began_at, kind, name, latency_ms, outcome, error_class, counts, tenant, user_ref, session_id,
                            trace_id, span_id)
SELECT id, parent, to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0), kind, name, latency_ms,
       outcome, error_class, counts, tenant, user_ref, session_id, trace_id, span_id
FROM jsonb_to_recordset(%s::jsonb) AS made(
    id uuid, parent uuid, kind text, name text, latency_ms float, outcome text, error_class text, counts jsonb, tenant text,
    user_ref text, session_id text, trace_id text, span_id text)
ON CONFLICT DO NOTHING

-- name: one_at_a_time
-- Of the same key of the same call, so that the second sees what the first has written.
SELECT pg_advisory_xact_lock(%s)

-- name: told
-- The step that ends so, of those of a call: what comes before that in its key is when it began.
SELECT id, kind, name FROM tollhouse_step WHERE parent = %(call_id)s AND right(id::text, 17) = %(ending)s

-- name: of_call
-- Whose call it is, and how many steps it has, as far as they are counted: by the index on the parent.
SELECT c.feature, c.tenant, c.user_ref, c.session_id, c.trace_id,
       (SELECT count(*) FROM (SELECT FROM tollhouse_step s WHERE s.parent = c.id LIMIT %(most)s) AS counted)
FROM tollhouse_call c WHERE c.id = %(call_id)s
