-- Which state each part of the configuration is in. Statement triggers write the id of the changing transaction, so
-- that two states never share a value, and tell every process that listens.
CREATE FUNCTION tollhouse_bump_revision_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tollhouse_revision (name, value) VALUES (TG_ARGV[0], pg_current_xact_id()::text::bigint)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    PERFORM pg_notify('tollhouse_revision', TG_ARGV[0]);
    RETURN NULL;
END $$;

INSERT INTO tollhouse_revision (name, value) VALUES ('catalog', 0), ('rules', 0), ('prices', 0);

DO $$
DECLARE part record;
BEGIN
    FOR part IN SELECT * FROM (VALUES
        ('rules', 'budget'), ('rules', 'switch'), ('prices', 'price'),
        ('catalog', 'provider'), ('catalog', 'route'), ('catalog', 'target'), ('catalog', 'feature'), ('catalog', 'policy'),
        ('catalog', 'deployment'), ('catalog', 'variant'), ('catalog', 'key')
    ) AS parts (name, tbl) LOOP
        EXECUTE format(
            'CREATE TRIGGER tollhouse_revision AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_bump_revision_v1(%L)', 'tollhouse_' || part.tbl, part.name);
    END LOOP;
END $$;
