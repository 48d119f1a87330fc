-- What a role that owns nothing could still do to see rows again that have expired.

-- How long kinds are kept comes from the settings: migrate and the worker write it, as the owner of the tables. A role that may
-- write everything else may not make expired rows visible with it.
CREATE FUNCTION tollhouse_owner_writes_v1() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION '% is written as the owner of the tables alone, by migrate, the worker or triggers', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER tollhouse_owner_writes BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tollhouse_retention_kind
    FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_owner_writes_v1();

-- As it was, but that moments before 1970 have no id before the first one: else who keeps rows for a hundred years would see none.
CREATE OR REPLACE FUNCTION tollhouse_first_id_v1(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(greatest(ceil(extract(epoch FROM at) * 1000), 0)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- As it was, but with what it names bound now. A text is bound where it is used, and there another type may have the name.
CREATE OR REPLACE FUNCTION tollhouse_visible_v1(id uuid, feature text, horizons jsonb) RETURNS boolean LANGUAGE sql STABLE
RETURN id >= coalesce(horizons ->> feature, horizons ->> '', '00000000-0000-0000-0000-000000000000')::uuid;

-- As it was, but that rows which cannot be seen cannot be changed either: an update that reads no column is under no policy for
-- reading, and could give them all another time or feature.
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
    visible := format('(SELECT tollhouse_sees_expired_v1()) OR %s', visible);
    EXECUTE format('CREATE POLICY tollhouse_unexpired ON %s FOR SELECT USING (%s)', guarded, visible);
    EXECUTE format('CREATE POLICY tollhouse_insert ON %s FOR INSERT WITH CHECK (true)', guarded);
    EXECUTE format('CREATE POLICY tollhouse_update ON %s FOR UPDATE USING (%s) WITH CHECK (true)', guarded, visible);
    EXECUTE format('CREATE POLICY tollhouse_delete ON %s FOR DELETE USING (true)', guarded);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', guarded);
END $$;

-- The tables that there are, those of other apps among them.
DO $$
DECLARE found record;
BEGIN
    FOR found IN
        SELECT polrelid::regclass AS guarded, pg_get_expr(polqual, polrelid) AS visible FROM pg_policy
        WHERE polname = 'tollhouse_unexpired' AND (SELECT relnamespace FROM pg_class WHERE oid = polrelid) = current_schema()::regnamespace
    LOOP
        EXECUTE format('ALTER POLICY tollhouse_update ON %s USING (%s)', found.guarded, found.visible);
    END LOOP;
END $$;
