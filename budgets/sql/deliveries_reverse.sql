DROP FUNCTION tollhouse_alert_gone_v1() CASCADE;
DROP FUNCTION tollhouse_delivery_gone_v1() CASCADE;
