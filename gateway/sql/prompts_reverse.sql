DROP TRIGGER tollhouse_never_emptied ON tollhouse_prompt_version;
DROP TRIGGER tollhouse_never_emptied ON tollhouse_price;
DROP TRIGGER tollhouse_never_emptied ON tollhouse_audit;
DROP FUNCTION tollhouse_variant_fits_v1() CASCADE;
DROP FUNCTION tollhouse_deployment_stays_v1() CASCADE;
