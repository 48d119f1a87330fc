DROP FUNCTION tollhouse_bump_revision_v1() CASCADE;
