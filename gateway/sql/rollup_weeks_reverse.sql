DELETE FROM tollhouse_rollup_state;
TRUNCATE tollhouse_rollup, tollhouse_rollup_sketch, tollhouse_rollup_entity, tollhouse_rollup_values;
DROP INDEX tollhouse_rollup_values_kind, tollhouse_rollup_values_tenant, tollhouse_rollup_values_label;

DO $$
DECLARE
    kind text;
BEGIN
    DROP TABLE tollhouse_rollup_person, tollhouse_rollup_customer;
    FOREACH kind IN ARRAY ARRAY['core', 'key', 'tenant', 'label', 'user'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS tollhouse_rollup_%1$s_week, tollhouse_rollup_sketch_%1$s_week', kind);
    END LOOP;
    FOREACH kind IN ARRAY ARRAY['tenant', 'label', 'user'] LOOP
        EXECUTE format('DROP INDEX IF EXISTS tollhouse_rollup_%1$s_hour_of_key, tollhouse_rollup_%1$s_day_of_key, '
                       'tollhouse_rollup_sketch_%1$s_hour_of_key, tollhouse_rollup_sketch_%1$s_day_of_key', kind);
    END LOOP;
END $$;
