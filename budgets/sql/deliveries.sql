-- Deliveries go with their alert, however it is deleted: by retention in SQL, or by the ORM, which looks itself. After the
-- statement, as those of one alert name each other.
CREATE FUNCTION tollhouse_alert_gone_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tollhouse_delivery WHERE alert_id = OLD.id;
    RETURN NULL;
END $$;

-- Other alerts that the same message told stay told.
CREATE FUNCTION tollhouse_delivery_gone_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tollhouse_delivery SET group_id = NULL WHERE group_id = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER tollhouse_gone AFTER DELETE ON tollhouse_alert FOR EACH ROW EXECUTE FUNCTION tollhouse_alert_gone_v1();
CREATE TRIGGER tollhouse_gone AFTER DELETE ON tollhouse_delivery FOR EACH ROW EXECUTE FUNCTION tollhouse_delivery_gone_v1();
