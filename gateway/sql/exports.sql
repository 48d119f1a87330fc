-- An export's file goes with it, however it is deleted: by retention in SQL, or by the ORM, which looks itself.
CREATE FUNCTION tollhouse_export_gone_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tollhouse_export_part WHERE export_id = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER tollhouse_gone AFTER DELETE ON tollhouse_export FOR EACH ROW EXECUTE FUNCTION tollhouse_export_gone_v1();

-- Pieces are compressed already.
ALTER TABLE tollhouse_export_part ALTER COLUMN content SET STORAGE EXTERNAL;
