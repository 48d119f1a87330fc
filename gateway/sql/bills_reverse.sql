DROP VIEW tollhouse_cost_entry;
DROP TRIGGER tollhouse_immutable ON tollhouse_bill;
DROP TRIGGER tollhouse_never_emptied ON tollhouse_bill;
DROP TRIGGER tollhouse_immutable ON tollhouse_bill_line;
DROP TRIGGER tollhouse_never_emptied ON tollhouse_bill_line;
