DROP FUNCTION tollhouse_export_gone_v1() CASCADE;
