DROP TRIGGER tollhouse_owner_writes ON tollhouse_audit_head;
DROP TRIGGER tollhouse_owner_writes ON tollhouse_audit_link;
ALTER FUNCTION tollhouse_audit_link_v1() SECURITY INVOKER;
