-- Links and head of the audit log's chain are the trigger's alone, which writes them as the owner of the tables: a role that may
-- add entries could otherwise set the head back, or take a link's place.
ALTER FUNCTION tollhouse_audit_link_v1() SECURITY DEFINER;
CREATE TRIGGER tollhouse_owner_writes BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tollhouse_audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_owner_writes_v1();
CREATE TRIGGER tollhouse_owner_writes BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tollhouse_audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_owner_writes_v1();
