-- The ledger's queries. Lock order, for everyone who touches a window: budgets and their new windows by (budget, value, start),
-- then new buckets by (limit, value), then existing windows by id, then existing buckets by id, then everything else. Only the
-- ledger's transaction and admin edits lock windows; the worker, which deletes idle buckets, waits for none.

-- name: begin
BEGIN

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: state
-- The database's clock, by which windows are chosen, and which state budgets and switches are in.
SELECT now() AS now, (SELECT value FROM tollhouse_revision WHERE name = 'rules') AS revision

-- name: budgets
SELECT id, feature, tenant, key, "user", cohort, model, provider, each, metric, currency, period, starts_on, ends_on, calendar,
       timezone, "limit", soft_percent, on_hard
FROM tollhouse_budget WHERE active AND deleted_at IS NULL

-- name: raises
SELECT budget_id, value, amount, expires_at FROM tollhouse_budget_raise WHERE withdrawn_at IS NULL AND expires_at > now()

-- name: last_raises
-- The last raise of each value, whether it is in force or not.
SELECT budget_id, value, max(id) FROM tollhouse_budget_raise GROUP BY budget_id, value

-- name: rates
SELECT currency, effective_from, per_usd FROM tollhouse_rate
WHERE currency IN (SELECT currency FROM tollhouse_budget WHERE active) ORDER BY currency, effective_from, id

-- name: switches
-- Those that expire are told with their time, as nobody says a word when it comes.
SELECT scope, value, reason, tenant, expires_at FROM tollhouse_switch
WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- name: cuts
-- Switches in force that cut calls under way.
SELECT scope, value, reason, tenant, expires_at FROM tollhouse_switch
WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND running = 'cut'

-- name: rate_limits
SELECT id, feature, tenant, key, "user", cohort, "each", requests_per_minute, tokens_per_minute, concurrent, burst_s
FROM tollhouse_rate_limit WHERE active

-- name: ahead
-- A whole transaction, decided on what the writer had left: where windows, holds and rules still stand so, and the time is as it
-- thought, all of it is done; otherwise nothing. Who changes a window has its lock: a row that still compares when it is locked
-- here cannot change before the end. By id alone, as no other index finds just one.
WITH given (windows, revision, since, until) AS (
    VALUES (%s::bigint, %s::bigint, %s::timestamptz, %s::timestamptz)
), windows AS MATERIALIZED (
    SELECT w.id, new_spent, new_held, (seen.spent, seen.held) IS DISTINCT FROM (new_spent, new_held) AS moved
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::int[],
                %s::numeric[], %s::numeric[])
        AS seen (id, ends_at, rate, spent, held, carried, alerted, new_spent, new_held)
    JOIN tollhouse_window w USING (id)
    WHERE (w.ends_at, w.rate, w.spent, w.held, w.carried, w.alerted)
        IS NOT DISTINCT FROM (seen.ends_at, seen.rate, seen.spent, seen.held, seen.carried, seen.alerted)
    ORDER BY w.id FOR UPDATE OF w
), {taking}go AS MATERIALIZED (
    SELECT windows = (SELECT count(*) FROM windows)
           AND revision = (SELECT value FROM tollhouse_revision WHERE name = 'rules')
           AND now() >= since AND now() < until {and_taken} AS ok
    FROM given
), changed AS (
    UPDATE tollhouse_window AS w SET spent = new_spent, held = new_held
    FROM windows WHERE w.id = windows.id AND moved AND (SELECT ok FROM go)
), held AS (
    INSERT INTO tollhouse_hold (call_id, owner, expires_at, windows, amounts, draft)
    SELECT call_id, owner, now() + lifetime_s * interval '1 second', windows, amounts, draft
    FROM json_to_recordset(%s) AS new
        (call_id uuid, owner uuid, lifetime_s float8, windows bigint[], amounts numeric[], draft jsonb)
    WHERE (SELECT ok FROM go)
){settling}
SELECT ok, now() FROM go

-- name: ahead_taking
-- The holds that are settled, if they are as they were granted, in the order of `take_holds`. One that has taken from buckets
-- meanwhile is not for here.
holds AS MATERIALIZED (
    SELECT h.call_id
    FROM json_to_recordset(%s) AS seen (call_id uuid, windows bigint[], amounts numeric[], provider text, model text)
    JOIN tollhouse_hold h USING (call_id)
    WHERE (h.windows, h.amounts, h.draft->>'provider', h.draft->>'model_served')
            IS NOT DISTINCT FROM (seen.windows, seen.amounts, seen.provider, seen.model)
        AND h.buckets IS NULL
        AND (SELECT count(*) FROM windows) = (SELECT g.windows FROM given g)
    ORDER BY h.call_id FOR UPDATE OF h
),

-- name: ahead_taken
-- All of them, and none of calls that were never granted any, as far as they know.
AND (SELECT count(*) FROM holds) = %s AND NOT EXISTS (SELECT FROM tollhouse_hold WHERE call_id = ANY(%s))

-- name: ahead_settling
, taken AS (
    DELETE FROM tollhouse_hold h USING holds WHERE h.call_id = holds.call_id AND (SELECT ok FROM go)
), called AS (
    INSERT INTO tollhouse_call ({columns})
    SELECT {columns} FROM json_populate_recordset(json_populate_record(NULL::tollhouse_call, '{blank}'), %s)
    WHERE (SELECT ok FROM go)
    ON CONFLICT DO NOTHING
), kept AS (
    INSERT INTO tollhouse_payload (id, content)
    SELECT id, content FROM json_populate_recordset(NULL::tollhouse_payload, %s) WHERE (SELECT ok FROM go)
    ON CONFLICT DO NOTHING
)

-- name: make_windows
-- Windows that nobody needed before; in one order everywhere, so that two processes cannot wait for each other. The calendar
-- of their budgets stays until the commit: who changes it must find them, to end them, and later windows to take them over.
INSERT INTO tollhouse_window (budget_id, value, calendar, starts_at, ends_at, rate)
SELECT budget_id, value, new.calendar, new.starts_at, new.ends_at, rate FROM json_to_recordset(%s) AS new
    (budget_id bigint, value text, calendar int, starts_at timestamptz, ends_at timestamptz, rate numeric)
JOIN tollhouse_budget b ON b.id = new.budget_id AND b.calendar = new.calendar
ORDER BY budget_id, value, starts_at FOR SHARE OF b
ON CONFLICT (budget_id, value, calendar, starts_at) DO NOTHING
RETURNING id

-- name: find_windows
SELECT w.budget_id, w.value, w.starts_at, w.id
FROM json_to_recordset(%s) AS new (budget_id bigint, value text, calendar int, starts_at timestamptz)
JOIN tollhouse_window w USING (budget_id, value, calendar, starts_at)

-- name: find_overlapped
-- Pairs of a window and one of an earlier calendar of its budget that shares time with it.
SELECT w.id, old.id
FROM json_to_recordset(%s) AS new (budget_id bigint, value text, calendar int, starts_at timestamptz)
JOIN tollhouse_window w USING (budget_id, value, calendar, starts_at)
JOIN tollhouse_window old ON old.budget_id = w.budget_id AND old.value = w.value AND old.calendar < w.calendar
WHERE old.starts_at < w.ends_at AND old.ends_at > w.starts_at

-- name: held_windows
-- Which windows the holds count in that are about to be taken.
SELECT DISTINCT unnest(windows) FROM tollhouse_hold WHERE call_id = ANY(%s)

-- name: lock_windows
SELECT w.id, w.budget_id, w.value, b.metric, w.starts_at, w.ends_at, w.rate, w.spent, w.held, w.carried, w.alerted
FROM tollhouse_window w JOIN tollhouse_budget b ON b.id = w.budget_id
WHERE w.id = ANY(%s) ORDER BY w.id FOR UPDATE OF w

-- name: make_buckets
-- Buckets that nobody needed before, full; in one order everywhere.
INSERT INTO tollhouse_bucket (rate_limit_id, value)
SELECT limit_id, value FROM json_to_recordset(%s) AS new (limit_id bigint, value text)
ORDER BY limit_id, value
ON CONFLICT (rate_limit_id, value) DO NOTHING

-- name: find_buckets
SELECT rate_limit_id, value, id FROM tollhouse_bucket
WHERE (rate_limit_id, value) IN (SELECT * FROM json_to_recordset(%s) AS new (limit_id bigint, value text))

-- name: held_buckets
-- Which buckets the holds took from that are about to be taken.
SELECT DISTINCT unnest(buckets) FROM tollhouse_hold WHERE call_id = ANY(%s)

-- name: lock_buckets
-- Each with the clock as it stands when its lock was had: the transaction's own time may lie before what the last one to
-- have the lock has counted already.
SELECT id, rate_limit_id, requests_level, tokens_level, in_flight, refilled_at, clock_timestamp()
FROM (SELECT * FROM tollhouse_bucket WHERE id = ANY(%s) ORDER BY id FOR UPDATE) AS locked

-- name: update_buckets
UPDATE tollhouse_bucket AS b SET requests_level = new.requests_level, tokens_level = new.tokens_level,
    in_flight = new.in_flight, refilled_at = new.refilled_at
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::timestamptz[])
    AS new (id, requests_level, tokens_level, in_flight, refilled_at)
WHERE b.id = new.id

-- name: forget_idle_buckets
-- Those that nobody has taken from for a day are full, whatever their limit, and say nothing. One that is locked is not idle.
DELETE FROM tollhouse_bucket WHERE id IN (
    SELECT id FROM tollhouse_bucket WHERE in_flight = 0 AND refilled_at < now() - interval '1 day'
    ORDER BY id LIMIT 10000 FOR UPDATE SKIP LOCKED
)

-- name: take_holds
-- Settles each hold once: whoever deletes it accounts for it. Only a hold that is moved may need its draft again.
DELETE FROM tollhouse_hold WHERE call_id = ANY(%s)
RETURNING call_id, windows, amounts, draft->>'provider', draft->>'model_served', (draft->>'price_id')::bigint,
          CASE WHEN call_id = ANY(%s) THEN draft END, buckets, bucket_tokens

-- name: find_calls
-- What a call counts so far, price corrections included.
SELECT c.id, c.outcome, c.provider, c.model_served,
       coalesce(c.cost_usd, 0)
           + coalesce((SELECT sum(r.cost_usd) FROM tollhouse_adjustment r WHERE r.call_id = c.id AND r.actor <> 'ledger'), 0),
       c.input_tokens + c.cache_read_tokens + c.cache_write_tokens + c.audio_input_tokens
           + c.output_tokens + c.reasoning_tokens + c.audio_output_tokens AS tokens,
       a.id IS NOT NULL AS adjusted
FROM tollhouse_call c LEFT JOIN tollhouse_adjustment a ON a.call_id = c.id AND a.actor = 'ledger'
WHERE c.id = ANY(%s)

-- name: update_windows
UPDATE tollhouse_window AS w SET spent = new.spent, held = new.held, alerted = new.alerted
FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::int[]) AS new (id, spent, held, alerted) WHERE w.id = new.id

-- name: begin_windows
-- What is written once in a window's life: what it has from windows of an earlier calendar, and its rate.
UPDATE tollhouse_window AS w SET carried = new.carried, rate = new.rate
FROM json_to_recordset(%s) AS new (id bigint, carried numeric, rate numeric) WHERE w.id = new.id

-- name: insert_holds
INSERT INTO tollhouse_hold (call_id, owner, expires_at, windows, amounts, draft, buckets, bucket_tokens)
SELECT call_id, owner, now() + lifetime_s * interval '1 second', windows, amounts, draft, buckets, bucket_tokens
FROM json_to_recordset(%s) AS new
    (call_id uuid, owner uuid, lifetime_s float8, windows bigint[], amounts numeric[], draft jsonb, buckets bigint[],
     bucket_tokens bigint)
ON CONFLICT (call_id) DO UPDATE SET
    expires_at = excluded.expires_at, windows = excluded.windows, amounts = excluded.amounts, draft = excluded.draft,
    buckets = excluded.buckets, bucket_tokens = excluded.bucket_tokens

-- name: insert_calls
-- What a row does not say is as in a blank one. Without the name of the key: with it the rows would have to be visible to
-- their writer, and one that comes from a spool after its expiry is not.
INSERT INTO tollhouse_call ({columns})
SELECT {columns} FROM json_populate_recordset(json_populate_record(NULL::tollhouse_call, '{blank}'), %s)
ON CONFLICT DO NOTHING

-- name: insert_payloads
INSERT INTO tollhouse_payload (id, content)
SELECT id, content FROM json_populate_recordset(NULL::tollhouse_payload, %s) ON CONFLICT DO NOTHING

-- name: insert_adjustments
INSERT INTO tollhouse_adjustment (call_id, created_at, cost_usd, tokens, outcome, reason, actor)
SELECT call_id, now(), cost_usd, tokens, outcome, reason, actor
FROM json_populate_recordset(NULL::tollhouse_adjustment, %s)

-- name: insert_alerts
-- In one order everywhere: two processes may have the first calls of an hour for the same reasons.
INSERT INTO tollhouse_alert (kind, severity, dedup_key, summary, detail, feature, tenant, ends_at)
SELECT kind, severity, dedup_key, summary, detail, coalesce(feature, ''), coalesce(tenant, ''), ends_at
FROM json_populate_recordset(NULL::tollhouse_alert, %s)
ORDER BY dedup_key
ON CONFLICT (dedup_key) DO NOTHING

-- name: beat
INSERT INTO tollhouse_owner (id, host, pid, started_at, seen_at) VALUES (%s, %s, %s, now(), now())
ON CONFLICT (id) DO UPDATE SET seen_at = now()

-- name: pulse
-- The database's clock, and for how long no worker has been seen (NULL: none ever was), in seconds.
SELECT clock_timestamp(), extract(epoch FROM now() - (SELECT max(seen_at) FROM tollhouse_worker))::float8

-- name: retire
DELETE FROM tollhouse_owner o WHERE o.id = %s AND NOT EXISTS (SELECT 1 FROM tollhouse_hold h WHERE h.owner = o.id)

-- name: bury
-- Owners that have been silent for a day and own nothing.
DELETE FROM tollhouse_owner o WHERE o.seen_at < now() - interval '1 day'
    AND NOT EXISTS (SELECT 1 FROM tollhouse_hold h WHERE h.owner = o.id)

-- name: dead_holds
-- Holds past their expiry, or whose owner has been silent too long. While the database was down nobody could
-- be heard, so silence counts from its start at the earliest. Who was seen in the future has been silent since the
-- database's clock went back.
SELECT h.call_id, h.draft
FROM tollhouse_hold h LEFT JOIN tollhouse_owner o ON o.id = h.owner
WHERE h.expires_at < now()
   OR (GREATEST(o.seen_at, pg_postmaster_start_time()) < now() - %s * interval '1 second')
   OR o.seen_at > now() + %s * interval '1 second'
ORDER BY h.created_at LIMIT 500
