-- Sums by week, and those of tenants and users alone; what is there is made anew by the worker.
DELETE FROM tollhouse_rollup_state;
TRUNCATE tollhouse_rollup, tollhouse_rollup_sketch, tollhouse_rollup_entity, tollhouse_rollup_values;

DO $$
DECLARE
    parent text;
    kind text;
    grain text;
BEGIN
    CREATE TABLE tollhouse_rollup_customer PARTITION OF tollhouse_rollup FOR VALUES IN ('customer') PARTITION BY LIST (grain);
    CREATE TABLE tollhouse_rollup_person PARTITION OF tollhouse_rollup FOR VALUES IN ('person') PARTITION BY LIST (grain);
    FOREACH parent IN ARRAY ARRAY['tollhouse_rollup', 'tollhouse_rollup_sketch'] LOOP
        FOREACH kind IN ARRAY ARRAY['core', 'key', 'tenant', 'label', 'user', 'customer', 'person'] LOOP
            CONTINUE WHEN parent = 'tollhouse_rollup_sketch' AND kind NOT IN ('core', 'key', 'tenant');
            FOREACH grain IN ARRAY ARRAY['hour', 'day', 'week'] LOOP
                CONTINUE WHEN to_regclass(format('%s_%s_%s', parent, kind, grain)) IS NOT NULL;
                EXECUTE format('CREATE TABLE %1$s_%2$s_%3$s PARTITION OF %1$s_%2$s FOR VALUES IN (%3$L) WITH (fillfactor = 80)',
                               parent, kind, grain);
            END LOOP;
        END LOOP;
    END LOOP;
    -- Of the kinds with many keys, the sums of a few: of one tenant, one user, one label.
    FOREACH kind IN ARRAY ARRAY['tenant', 'label', 'user'] LOOP
        FOREACH grain IN ARRAY ARRAY['hour', 'day', 'week'] LOOP
            EXECUTE format('CREATE INDEX tollhouse_rollup_%1$s_%2$s_of_key ON tollhouse_rollup_%1$s_%2$s (key_id, at)', kind, grain);
            IF kind = 'tenant' THEN
                EXECUTE format('CREATE INDEX tollhouse_rollup_sketch_%1$s_%2$s_of_key ON tollhouse_rollup_sketch_%1$s_%2$s (key_id, at)',
                               kind, grain);
            END IF;
        END LOOP;
    END LOOP;
END $$;

CREATE INDEX tollhouse_rollup_values_kind ON tollhouse_rollup_values (kind);
CREATE INDEX tollhouse_rollup_values_tenant ON tollhouse_rollup_values (tenant) WHERE tenant <> '';
CREATE INDEX tollhouse_rollup_values_label ON tollhouse_rollup_values (label) WHERE label <> '';
