-- Rate limits belong to the part `rules`: the ledger reads them again when one has changed. A bucket is written by every
-- call under its limit, so its pages keep room for that, and the updates touch no index.
CREATE TRIGGER tollhouse_revision AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tollhouse_rate_limit
FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_bump_revision_v1('rules');

ALTER TABLE tollhouse_bucket SET (fillfactor = 50);
