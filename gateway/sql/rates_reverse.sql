DROP TRIGGER IF EXISTS tollhouse_revision ON tollhouse_rate_limit;
