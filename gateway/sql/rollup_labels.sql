-- Latencies and what was found by label, what was found by tenant; what is there is made anew by the worker.
DELETE FROM tollhouse_rollup_state;
TRUNCATE tollhouse_rollup, tollhouse_rollup_sketch, tollhouse_rollup_entity, tollhouse_rollup_values;

CREATE TABLE tollhouse_rollup_sketch_label PARTITION OF tollhouse_rollup_sketch FOR VALUES IN ('label') PARTITION BY LIST (grain);
DO $$
DECLARE
    grain text;
BEGIN
    FOREACH grain IN ARRAY ARRAY['hour', 'day', 'week'] LOOP
        EXECUTE format('CREATE TABLE tollhouse_rollup_sketch_label_%1$s PARTITION OF tollhouse_rollup_sketch_label '
                       'FOR VALUES IN (%1$L) WITH (fillfactor = 80)', grain);
        EXECUTE format('CREATE INDEX tollhouse_rollup_sketch_label_%1$s_of_key ON tollhouse_rollup_sketch_label_%1$s (key_id, at)', grain);
    END LOOP;
END $$;
CREATE INDEX tollhouse_rollup_entity_of_key ON tollhouse_rollup_entity (key_id, at) WHERE kind <> 'core';

-- Ids of keys are made from their feature and this.
CREATE SEQUENCE tollhouse_rollup_ids;
ALTER TABLE tollhouse_rollup_values ALTER COLUMN id DROP IDENTITY;
