-- Rows that stay as they were written: prompt versions, prices, the audit log.
CREATE FUNCTION tollhouse_refuse_change_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted; add a new one instead', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER tollhouse_immutable BEFORE UPDATE OR DELETE ON tollhouse_prompt_version
    FOR EACH ROW EXECUTE FUNCTION tollhouse_refuse_change_v1();
CREATE TRIGGER tollhouse_immutable BEFORE UPDATE OR DELETE ON tollhouse_price
    FOR EACH ROW EXECUTE FUNCTION tollhouse_refuse_change_v1();
CREATE TRIGGER tollhouse_immutable BEFORE UPDATE OR DELETE ON tollhouse_audit
    FOR EACH ROW EXECUTE FUNCTION tollhouse_refuse_change_v1();
