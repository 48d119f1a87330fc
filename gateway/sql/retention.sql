-- Rows are invisible from the moment at which they expire. That is computed when they are read, from how long their kind and
-- feature are kept, so a changed rule holds for all rows at once. Removing them is the worker's (retire.sql).

-- How many days rows of a kind are kept, by feature; '' stands for every feature without a rule of its own.
CREATE FUNCTION tollhouse_keep_days_v1(of_kind text) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT coalesce(jsonb_object_agg(feature, keep_days), '{}')
    FROM (SELECT feature, keep_days FROM tollhouse_retention_rule WHERE kind = of_kind
          UNION ALL SELECT '', keep_days FROM tollhouse_retention_kind WHERE kind = of_kind) kept
$$;

-- The smallest UUIDv7 of a moment, to the millisecond.
CREATE FUNCTION tollhouse_first_id_v1(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(ceil(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- The ids from which on rows of a kind are visible, by feature; '' as above.
CREATE FUNCTION tollhouse_horizons_v1(of_kind text) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT coalesce(jsonb_object_agg(key, tollhouse_first_id_v1(now() - value::int * interval '24 hours')), '{}')
    FROM jsonb_each_text(tollhouse_keep_days_v1(of_kind))
$$;

-- The last of these: later rows are visible, whatever their feature, which spares them the look-up.
CREATE FUNCTION tollhouse_last_horizon_v1(of_kind text) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT coalesce(max(value COLLATE "C"), '00000000-0000-0000-0000-000000000000')::uuid
    FROM jsonb_each_text(tollhouse_horizons_v1(of_kind))
$$;

-- Whether a row of a kind, of that feature, is visible. Written to be put into queries as it stands.
CREATE FUNCTION tollhouse_visible_v1(id uuid, feature text, horizons jsonb) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT id >= coalesce(horizons ->> feature, horizons ->> '', '00000000-0000-0000-0000-000000000000')::uuid
$$;

-- Whether this transaction asked to see expired rows, as removal, erasure and export do, and may: only the role that owns
-- the tables can.
CREATE FUNCTION tollhouse_sees_expired_v1() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('tollhouse.sees_expired', true), '') = 'on'
        AND pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'tollhouse_call'::regclass), 'USAGE')
$$;

-- Puts a table of calls or payloads, or a partition of one, under the policy that hides what has expired. Partitions have it
-- as well, as the parent's does not hold for who reads one by its name, as pg_dump does. Writing is not restricted, and FORCE
-- has the policies hold for the owner of the tables, too. A payload goes with its call at the latest: the subquery is under the
-- policy of calls.
CREATE FUNCTION tollhouse_guard_v1(guarded regclass, of_kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    visible text := CASE of_kind
        WHEN 'call' THEN
            'id >= (SELECT tollhouse_last_horizon_v1(''call''))'
            ' OR tollhouse_visible_v1(id, feature, (SELECT tollhouse_horizons_v1(''call'')))'
        WHEN 'payload' THEN
            format('EXISTS (SELECT FROM tollhouse_call c WHERE c.id = %s.id'
                   ' AND tollhouse_visible_v1(c.id, c.feature, (SELECT tollhouse_horizons_v1(''payload''))))', guarded)
        END;
BEGIN
    EXECUTE format('CREATE POLICY tollhouse_unexpired ON %s FOR SELECT USING ((SELECT tollhouse_sees_expired_v1()) OR %s)',
                   guarded, visible);
    EXECUTE format('CREATE POLICY tollhouse_insert ON %s FOR INSERT WITH CHECK (true)', guarded);
    EXECUTE format('CREATE POLICY tollhouse_update ON %s FOR UPDATE USING (true) WITH CHECK (true)', guarded);
    EXECUTE format('CREATE POLICY tollhouse_delete ON %s FOR DELETE USING (true)', guarded);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', guarded);
END $$;

SELECT tollhouse_guard_v1('tollhouse_call', 'call'), tollhouse_guard_v1('tollhouse_payload', 'payload');
SELECT tollhouse_guard_v1(inhrelid, split_part(inhparent::regclass::text, '_', 2)) FROM pg_inherits
WHERE inhparent IN ('tollhouse_call'::regclass, 'tollhouse_payload'::regclass);

-- Makes a partition of calls or payloads. As the owner of the tables, whoever asks: a server needs one for a call whose day
-- nobody has made, and connects as a role that owns nothing. Made apart and then attached, so that readers of the parent
-- are not kept waiting.
CREATE FUNCTION tollhouse_make_partition_v1(of_kind text, starts date, first uuid, last uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    parent text := CASE of_kind WHEN 'call' THEN 'tollhouse_call' WHEN 'payload' THEN 'tollhouse_payload' END;
    name text := parent || to_char(starts, '_YYYYMMDD');
BEGIN
    IF parent IS NULL THEN
        RAISE EXCEPTION 'there are partitions of calls and of payloads, and none of %', of_kind;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    PERFORM tollhouse_guard_v1(name::regclass, of_kind);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, first, last);
END $$;

-- What calls that have expired and are not removed yet have cost, in the form of tollhouse_call_sum: the money of a call does
-- not disappear with it. No person's data comes out of it.
CREATE FUNCTION tollhouse_expired_cost_v1() RETURNS TABLE (
    day date, feature text, tenant text, cohort text, key text, source text, prompt_version text, route text, provider text,
    model_served text, outcome text, calls bigint, cost_usd numeric, tokens bigint
) LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
#variable_conflict use_column
DECLARE
    before text := coalesce(current_setting('tollhouse.sees_expired', true), '');
BEGIN
    -- Not as the function's own setting: for a name of ours that takes a superuser.
    PERFORM set_config('tollhouse.sees_expired', 'on', true);
    RETURN QUERY
    SELECT (to_timestamp(('x' || left(replace(c.id::text, '-', ''), 12))::bit(48)::bigint / 1000) AT TIME ZONE 'UTC')::date,
           c.feature::text, c.tenant::text, c.cohort::text, c.key::text, c.source::text, c.prompt_version::text, c.route::text,
           c.provider::text, c.model_served::text, c.outcome::text, count(*), sum(coalesce(c.cost_usd, 0) + coalesce(a.cost_usd, 0)),
           sum(c.input_tokens::bigint + c.cache_read_tokens + c.cache_write_tokens + c.audio_input_tokens
               + c.output_tokens + c.reasoning_tokens + c.audio_output_tokens + coalesce(a.tokens, 0))::bigint
    FROM tollhouse_call c
    LEFT JOIN LATERAL (
        SELECT sum(cost_usd) AS cost_usd, sum(tokens) AS tokens FROM tollhouse_adjustment WHERE call_id = c.id
    ) a ON true
    WHERE c.id < (SELECT tollhouse_last_horizon_v1('call'))
        AND NOT tollhouse_visible_v1(c.id, c.feature, (SELECT tollhouse_horizons_v1('call')))
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
    PERFORM set_config('tollhouse.sees_expired', before, true);
END $$;

-- What these functions name is in this schema. Temporary tables come last: anyone can make one, with the name of a table of
-- ours, and would have it read in its place, so that nothing expired any more.
DO $$
DECLARE signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'tollhouse_keep_days_v1(text)', 'tollhouse_horizons_v1(text)', 'tollhouse_last_horizon_v1(text)',
        'tollhouse_sees_expired_v1()', 'tollhouse_expired_cost_v1()', 'tollhouse_make_partition_v1(text, date, uuid, uuid)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', signature, current_schema());
    END LOOP;
END $$;

-- What was spent, entry by entry: one for each call, one for each adjustment of a call with that call's dimensions, one for
-- each adjustment of a bill's line, which has no call, and sums of calls whose rows have expired, adjustments included.
-- Whoever adds up costs adds these up. `id` is in the order of time (UUIDv7; a bill's line and a sum have the first id of
-- their day, UTC), so a time range is an id range; `calls` adds up to the number of calls. Plain selects, so that conditions
-- reach the indexes of each. It reads as whoever asks (security_invoker), or it would show what its owner sees.
DROP VIEW tollhouse_cost_entry;
CREATE VIEW tollhouse_cost_entry WITH (security_invoker = true) AS
SELECT 'call' AS entry, c.id, c.feature, c.tenant, c.user_ref, c.cohort, c.key, c.source, c.prompt_version, c.route, c.provider,
       c.model_served, c.outcome, c.latency_ms, c.cost_usd,
       c.input_tokens::bigint + c.cache_read_tokens + c.cache_write_tokens + c.audio_input_tokens
           + c.output_tokens + c.reasoning_tokens + c.audio_output_tokens AS tokens,
       1::bigint AS calls
FROM tollhouse_call c
UNION ALL
SELECT 'adjustment', c.id, c.feature, c.tenant, c.user_ref, c.cohort, c.key, c.source, c.prompt_version, c.route, c.provider,
       c.model_served, c.outcome, c.latency_ms, a.cost_usd, a.tokens, 0
FROM tollhouse_adjustment a JOIN tollhouse_call c ON c.id = a.call_id
UNION ALL
SELECT 'bill', tollhouse_first_id_v1(l.day::timestamp AT TIME ZONE 'UTC'),
       '', '', '', '', '', 'bill', '', '', l.provider, l.model, '', NULL, a.cost_usd, a.tokens, 0
FROM tollhouse_adjustment a JOIN tollhouse_bill_line l ON l.id = a.bill_line_id
UNION ALL
SELECT 'sum', tollhouse_first_id_v1(s.day::timestamp AT TIME ZONE 'UTC'), s.feature, s.tenant, '', s.cohort, s.key, s.source,
       s.prompt_version, s.route, s.provider, s.model_served, s.outcome, NULL, s.cost_usd, s.tokens, s.calls
FROM tollhouse_call_sum s
UNION ALL
SELECT 'sum', tollhouse_first_id_v1(s.day::timestamp AT TIME ZONE 'UTC'), s.feature, s.tenant, '', s.cohort, s.key, s.source,
       s.prompt_version, s.route, s.provider, s.model_served, s.outcome, NULL, s.cost_usd, s.tokens, s.calls
FROM tollhouse_expired_cost_v1() s;
