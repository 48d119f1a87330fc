ALTER TABLE tollhouse_call DROP COLUMN written;
ALTER TABLE tollhouse_adjustment DROP COLUMN written;
