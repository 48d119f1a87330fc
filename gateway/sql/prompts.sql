-- Rows that stay as they were written cannot be emptied out either.
DO $$
DECLARE kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['tollhouse_prompt_version', 'tollhouse_price', 'tollhouse_audit'] LOOP
        EXECUTE format(
            'CREATE TRIGGER tollhouse_never_emptied BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_refuse_change_v1()', kept);
    END LOOP;
END $$;

-- A version is live for its own prompt only. Versions never change theirs; a deployment must not either.
CREATE FUNCTION tollhouse_variant_fits_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM tollhouse_prompt_version v JOIN tollhouse_deployment d ON d.prompt_id = v.prompt_id
        WHERE v.id = NEW.version_id AND d.id = NEW.deployment_id
    ) THEN
        RAISE EXCEPTION 'version % is of another prompt than deployment %', NEW.version_id, NEW.deployment_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tollhouse_variant_fits BEFORE INSERT OR UPDATE ON tollhouse_variant
    FOR EACH ROW EXECUTE FUNCTION tollhouse_variant_fits_v1();

CREATE FUNCTION tollhouse_deployment_stays_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a deployment stays with its prompt' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER tollhouse_deployment_stays BEFORE UPDATE OF prompt_id ON tollhouse_deployment
    FOR EACH ROW WHEN (OLD.prompt_id IS DISTINCT FROM NEW.prompt_id) EXECUTE FUNCTION tollhouse_deployment_stays_v1();

-- Prompts that have versions of their own have a deployment, be it one with nothing live.
INSERT INTO tollhouse_deployment (prompt_id, moved_by, reason)
SELECT DISTINCT v.prompt_id, '', '' FROM tollhouse_prompt_version v
WHERE v.origin <> 'observed' AND NOT EXISTS (SELECT FROM tollhouse_deployment d WHERE d.prompt_id = v.prompt_id);
