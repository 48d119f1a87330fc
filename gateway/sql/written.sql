-- Which transaction wrote a row, so that the rollups count each committed row once, however late it commits. Rows that were
-- there before have 0. The columns belong to the database alone: no model has them, and no statement sets them.
ALTER TABLE tollhouse_call ADD COLUMN written bigint NOT NULL DEFAULT 0;
ALTER TABLE tollhouse_call ALTER COLUMN written SET DEFAULT txid_current();
CREATE INDEX tollhouse_call_written ON tollhouse_call USING brin (written) WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE tollhouse_adjustment ADD COLUMN written bigint NOT NULL DEFAULT 0;
ALTER TABLE tollhouse_adjustment ALTER COLUMN written SET DEFAULT txid_current();
CREATE INDEX tollhouse_adjustment_written ON tollhouse_adjustment (written);
