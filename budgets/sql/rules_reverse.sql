DROP TRIGGER tollhouse_revision ON tollhouse_rate;
DROP TRIGGER tollhouse_revision ON tollhouse_budget_raise;
DROP TRIGGER tollhouse_immutable ON tollhouse_rate;
DROP FUNCTION tollhouse_budget_calendar_v1() CASCADE;
DROP FUNCTION tollhouse_budget_stays_v1() CASCADE;
DROP FUNCTION tollhouse_budget_alerts_v1() CASCADE;
