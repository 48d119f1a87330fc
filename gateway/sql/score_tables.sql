-- Sums of scores, by quarter of an hour (which the hours of every time zone begin with), feature, version, kind and name. Rows
-- with the same values add up: whatever writes or removes scores adds rows of its own (`loose`) in the same transaction, and
-- waits for nobody. So these come to what the scores do in every snapshot; a job of the worker puts rows together.
CREATE TABLE tollhouse_score_sum (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feature text NOT NULL, at timestamptz NOT NULL, prompt_version text NOT NULL, kind text NOT NULL, name text NOT NULL,
    sources bigint NOT NULL, above bigint NOT NULL, below bigint NOT NULL, total float8 NOT NULL, loose boolean NOT NULL
);
CREATE INDEX tollhouse_score_sum_feature ON tollhouse_score_sum (feature, at);
CREATE INDEX tollhouse_score_sum_loose ON tollhouse_score_sum (at) WHERE loose;

CREATE FUNCTION tollhouse_sum_scores_v1() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE sign int := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE tollhouse_score_sum;
        RETURN NULL;
    END IF;
    INSERT INTO tollhouse_score_sum (feature, at, prompt_version, kind, name, sources, above, below, total, loose)
    SELECT feature, date_bin('15 minutes', called_at, '2000-01-01 00:00+00'), prompt_version, kind, name,
           sign * count(*) FILTER (WHERE replaced IS NULL),
           sign * (count(*) FILTER (WHERE value > 0) - count(*) FILTER (WHERE replaced > 0)),
           sign * (count(*) FILTER (WHERE value < 0) - count(*) FILTER (WHERE replaced < 0)),
           sign * sum(value - coalesce(replaced, 0)), true
    FROM changed GROUP BY 1, 2, 3, 4, 5;
    RETURN NULL;
END $$;

-- Temporary tables last: anyone can make one with the name of a table of ours.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION tollhouse_sum_scores_v1() SET search_path = %I, pg_temp', current_schema());
END $$;

-- Nobody writes scores between the first of these and the end of the migration. Of those that have expired, too, there are sums,
-- as long as their rows are there. A row is never changed.
CREATE TRIGGER tollhouse_sum_scores AFTER INSERT ON tollhouse_score
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_sum_scores_v1();
CREATE TRIGGER tollhouse_sum_removed_scores AFTER DELETE ON tollhouse_score
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_sum_scores_v1();
CREATE TRIGGER tollhouse_sum_no_scores AFTER TRUNCATE ON tollhouse_score
    FOR EACH STATEMENT EXECUTE FUNCTION tollhouse_sum_scores_v1();
SET LOCAL tollhouse.sees_expired = 'on';
INSERT INTO tollhouse_score_sum (feature, at, prompt_version, kind, name, sources, above, below, total, loose)
SELECT feature, date_bin('15 minutes', called_at, '2000-01-01 00:00+00'), prompt_version, kind, name,
       count(*) FILTER (WHERE replaced IS NULL), count(*) FILTER (WHERE value > 0) - count(*) FILTER (WHERE replaced > 0),
       count(*) FILTER (WHERE value < 0) - count(*) FILTER (WHERE replaced < 0), sum(value - coalesce(replaced, 0)), false
FROM tollhouse_score GROUP BY 1, 2, 3, 4, 5;
SET LOCAL tollhouse.sees_expired = 'off';
