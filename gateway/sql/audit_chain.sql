-- The audit log's chain. Each entry gets a link, at the end of its transaction: its place and the SHA-256 of the link before
-- it and of its own content. The head, one row that whoever adds a link locks, says how many there are and the last hash.
-- At the end, as a lock that is held for a moment only, after all others, can neither deadlock nor keep anyone waiting.
CREATE FUNCTION tollhouse_audit_text_v1(e tollhouse_audit) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(e.id, (extract(epoch FROM e.at) * 1000000)::bigint, e.actor, e.action, e.subject, e.reason, e.detail)::text
$$;

CREATE FUNCTION tollhouse_audit_link_v1() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before record;
    this text;
BEGIN
    INSERT INTO tollhouse_audit_head (id, entries, hash) SELECT 1, 0, '' WHERE NOT EXISTS (SELECT FROM tollhouse_audit_link)
    ON CONFLICT (id) DO NOTHING;
    SELECT entries, hash INTO before FROM tollhouse_audit_head WHERE id = 1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head of the audit log''s chain is gone, so nothing can be added; see manage.py audit verify';
    END IF;
    this := encode(sha256(convert_to(before.hash || E'\n' || tollhouse_audit_text_v1(NEW), 'UTF8')), 'hex');
    INSERT INTO tollhouse_audit_link (place, entry_id, hash) VALUES (before.entries + 1, NEW.id, this);
    UPDATE tollhouse_audit_head SET entries = before.entries + 1, hash = this WHERE id = 1;
    RETURN NULL;
END $$;

-- Temporary tables last: anyone can make one with the name of a table of ours.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION tollhouse_audit_link_v1() SET search_path = %I, pg_temp', current_schema());
END $$;

-- Those that there are, in order.
DO $$
DECLARE
    entry tollhouse_audit;
    last text := '';
    place bigint := 0;
BEGIN
    FOR entry IN SELECT * FROM tollhouse_audit ORDER BY id LOOP
        place := place + 1;
        last := encode(sha256(convert_to(last || E'\n' || tollhouse_audit_text_v1(entry), 'UTF8')), 'hex');
        INSERT INTO tollhouse_audit_link (place, entry_id, hash) VALUES (place, entry.id, last);
    END LOOP;
    INSERT INTO tollhouse_audit_head (id, entries, hash) VALUES (1, place, last);
END $$;

CREATE CONSTRAINT TRIGGER tollhouse_audit_link AFTER INSERT ON tollhouse_audit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION tollhouse_audit_link_v1();
CREATE TRIGGER tollhouse_immutable BEFORE UPDATE OR DELETE ON tollhouse_audit_link
    FOR EACH ROW EXECUTE FUNCTION tollhouse_refuse_change_v1();
CREATE TRIGGER tollhouse_never_emptied BEFORE TRUNCATE ON tollhouse_audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_refuse_change_v1();
