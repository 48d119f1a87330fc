DROP FUNCTION tollhouse_refuse_change_v1() CASCADE;
