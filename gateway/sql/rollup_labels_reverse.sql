DELETE FROM tollhouse_rollup_state;
TRUNCATE tollhouse_rollup, tollhouse_rollup_sketch, tollhouse_rollup_entity, tollhouse_rollup_values;
DROP INDEX tollhouse_rollup_entity_of_key;
DROP TABLE tollhouse_rollup_sketch_label;
ALTER TABLE tollhouse_rollup_values ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
DROP SEQUENCE tollhouse_rollup_ids;
