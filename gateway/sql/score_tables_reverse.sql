DROP TRIGGER tollhouse_sum_scores ON tollhouse_score;
DROP TRIGGER tollhouse_sum_removed_scores ON tollhouse_score;
DROP TRIGGER tollhouse_sum_no_scores ON tollhouse_score;
DROP FUNCTION tollhouse_sum_scores_v1();
DROP TABLE tollhouse_score_sum;
