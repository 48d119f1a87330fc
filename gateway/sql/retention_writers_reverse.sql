DROP TRIGGER tollhouse_owner_writes ON tollhouse_retention_kind;
DROP FUNCTION tollhouse_owner_writes_v1();
CREATE OR REPLACE FUNCTION tollhouse_first_id_v1(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(ceil(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
CREATE OR REPLACE FUNCTION tollhouse_visible_v1(id uuid, feature text, horizons jsonb) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT id >= coalesce(horizons ->> feature, horizons ->> '', '00000000-0000-0000-0000-000000000000')::uuid
$$;
CREATE OR REPLACE FUNCTION tollhouse_guard_v1(guarded regclass, of_kind text) RETURNS void LANGUAGE plpgsql AS $$
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
DO $$
DECLARE guarded regclass;
BEGIN
    FOR guarded IN
        SELECT polrelid FROM pg_policy
        WHERE polname = 'tollhouse_unexpired' AND (SELECT relnamespace FROM pg_class WHERE oid = polrelid) = current_schema()::regnamespace
    LOOP
        EXECUTE format('ALTER POLICY tollhouse_update ON %s USING (true)', guarded);
    END LOOP;
END $$;
