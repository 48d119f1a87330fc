-- Bills stay as they were compared.
DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['tollhouse_bill', 'tollhouse_bill_line'] LOOP
        EXECUTE format(
            'CREATE TRIGGER tollhouse_immutable BEFORE UPDATE OR DELETE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION tollhouse_refuse_change_v1()', kept);
        EXECUTE format(
            'CREATE TRIGGER tollhouse_never_emptied BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_refuse_change_v1()', kept);
    END LOOP;
END $$;

-- What was spent, entry by entry: one for each call, one for each adjustment of a call with that call's dimensions, and
-- one for each adjustment of a bill's line, which has no call. Whoever adds up costs adds these up. `id` is in the order of
-- time (UUIDv7; a bill's line has the first id of its day), so a time range is an id range; calls are counted by the
-- entries named `call`. Three plain selects, so that conditions reach the indexes of each.
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
