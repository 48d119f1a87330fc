-- A person's data. Read in a transaction that sees expired rows, as those are still there until they are removed. There is no
-- index on user references, which every call would pay for: the calls are read through.

-- name: calls
SELECT id FROM tollhouse_call WHERE user_ref = %(ref)s
UNION
-- Calls of the same sessions that name nobody; a session's id is its tenant's.
SELECT id FROM tollhouse_call WHERE user_ref = '' AND session_id <> '' AND (tenant, session_id) IN (
    SELECT tenant, session_id FROM tollhouse_call WHERE user_ref = %(ref)s)

-- name: places
SELECT DISTINCT tenant, session_id FROM tollhouse_call WHERE id = ANY(%s)

-- name: read_calls
SELECT row_to_json(c) FROM tollhouse_call c WHERE id = ANY(%s) ORDER BY id

-- name: read_payloads
SELECT row_to_json(p) FROM tollhouse_payload p WHERE id = ANY(%s) ORDER BY id

-- name: read_adjustments
SELECT row_to_json(a) FROM tollhouse_adjustment a WHERE call_id = ANY(%s) ORDER BY id

-- name: erase_payloads
DELETE FROM tollhouse_payload WHERE id = ANY(%s)

-- name: erase_calls
-- The row stays, with its money, its times and its outcome, and is nobody's.
UPDATE tollhouse_call SET user_ref = '', session_id = '', labels = '{}', trace_id = '', span_id = '', parent = NULL
WHERE id = ANY(%s)
