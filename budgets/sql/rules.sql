-- What the holds of every process rely on: that they hear of each change, and that what they were told stays as it was.
CREATE TRIGGER tollhouse_revision AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tollhouse_rate
    FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_bump_revision_v1('rules');
CREATE TRIGGER tollhouse_revision AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tollhouse_budget_raise
    FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_bump_revision_v1('rules');
CREATE TRIGGER tollhouse_immutable BEFORE UPDATE OR DELETE ON tollhouse_rate
    FOR EACH ROW EXECUTE FUNCTION tollhouse_refuse_change_v1();

-- A budget that is given another calendar (period, zone, dates) has new windows from then on. Those that were open end: a window
-- of the new calendar that overlaps one takes over what counts in it, once. Locks windows by id, as everyone does.
CREATE FUNCTION tollhouse_budget_calendar_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.calendar := OLD.calendar + 1;
    PERFORM FROM tollhouse_window WHERE budget_id = NEW.id AND ends_at > now() ORDER BY id FOR UPDATE;
    UPDATE tollhouse_window SET ends_at = now() WHERE budget_id = NEW.id AND ends_at > now() AND starts_at < now();
    RETURN NEW;
END $$;
CREATE TRIGGER tollhouse_budget_calendar BEFORE UPDATE ON tollhouse_budget FOR EACH ROW
    WHEN (ROW(OLD.period, OLD.timezone, OLD.starts_on, OLD.ends_on) IS DISTINCT FROM ROW(NEW.period, NEW.timezone, NEW.starts_on, NEW.ends_on))
    EXECUTE FUNCTION tollhouse_budget_calendar_v1();

-- What the figures of a budget's windows and raises mean cannot change under them.
CREATE FUNCTION tollhouse_budget_stays_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM tollhouse_window WHERE budget_id = NEW.id)
        OR EXISTS (SELECT FROM tollhouse_budget_raise WHERE budget_id = NEW.id) THEN
        RAISE EXCEPTION 'a budget that has windows or raises keeps its metric, its currency and what it is for each of; '
            'delete it and make another' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tollhouse_budget_stays BEFORE UPDATE ON tollhouse_budget FOR EACH ROW
    WHEN (ROW(OLD.metric, OLD.currency, OLD.each) IS DISTINCT FROM ROW(NEW.metric, NEW.currency, NEW.each))
    EXECUTE FUNCTION tollhouse_budget_stays_v1();

-- What was told of a budget is over when it is paused or deleted, or when its open windows end early.
CREATE FUNCTION tollhouse_budget_alerts_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tollhouse_alert SET ends_at = now()
    WHERE dedup_key LIKE 'budget:' || NEW.id || ':%' AND resolved_at IS NULL AND ends_at > now();
    RETURN NULL;
END $$;
CREATE TRIGGER tollhouse_budget_alerts AFTER UPDATE ON tollhouse_budget FOR EACH ROW
    WHEN (OLD.calendar <> NEW.calendar OR (OLD.active AND NOT NEW.active)) EXECUTE FUNCTION tollhouse_budget_alerts_v1();
