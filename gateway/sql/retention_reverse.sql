DROP VIEW tollhouse_cost_entry;
DROP FUNCTION tollhouse_expired_cost_v1();
DO $$
DECLARE name text;
BEGIN
    FOR name IN
        SELECT 'tollhouse_call' UNION SELECT 'tollhouse_payload'
        UNION SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent IN ('tollhouse_call'::regclass, 'tollhouse_payload'::regclass)
    LOOP
        EXECUTE format('DROP POLICY tollhouse_unexpired ON %s', name);
        EXECUTE format('DROP POLICY tollhouse_insert ON %s', name);
        EXECUTE format('DROP POLICY tollhouse_update ON %s', name);
        EXECUTE format('DROP POLICY tollhouse_delete ON %s', name);
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', name);
    END LOOP;
END $$;
DROP FUNCTION tollhouse_make_partition_v1(text, date, uuid, uuid);
DROP FUNCTION tollhouse_guard_v1(regclass, text);
DROP FUNCTION tollhouse_sees_expired_v1();
DROP FUNCTION tollhouse_visible_v1(uuid, text, jsonb);
DROP FUNCTION tollhouse_last_horizon_v1(text);
DROP FUNCTION tollhouse_horizons_v1(text);
DROP FUNCTION tollhouse_first_id_v1(timestamptz);
DROP FUNCTION tollhouse_keep_days_v1(text);
CREATE VIEW tollhouse_cost_entry AS
SELECT 'call' AS entry, c.id, c.feature, c.tenant, c.user_ref, c.cohort, c.key, c.source, c.prompt_version, c.route, c.provider,
       c.model_served, c.outcome, c.latency_ms, c.cost_usd,
       c.input_tokens::bigint + c.cache_read_tokens + c.cache_write_tokens + c.audio_input_tokens
           + c.output_tokens + c.reasoning_tokens + c.audio_output_tokens AS tokens
FROM tollhouse_call c
UNION ALL
SELECT 'adjustment', c.id, c.feature, c.tenant, c.user_ref, c.cohort, c.key, c.source, c.prompt_version, c.route, c.provider,
       c.model_served, c.outcome, c.latency_ms, a.cost_usd, a.tokens
FROM tollhouse_adjustment a JOIN tollhouse_call c ON c.id = a.call_id
UNION ALL
SELECT 'bill', (lpad(to_hex((extract(epoch FROM l.day) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid,
       '', '', '', '', '', 'bill', '', '', l.provider, l.model, '', NULL, a.cost_usd, a.tokens
FROM tollhouse_adjustment a JOIN tollhouse_bill_line l ON l.id = a.bill_line_id;
