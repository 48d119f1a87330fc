DROP TRIGGER tollhouse_audit_link ON tollhouse_audit;
DROP TRIGGER tollhouse_immutable ON tollhouse_audit_link;
DROP TRIGGER tollhouse_never_emptied ON tollhouse_audit_link;
DROP FUNCTION tollhouse_audit_link_v1();
DROP FUNCTION tollhouse_audit_text_v1(tollhouse_audit);
