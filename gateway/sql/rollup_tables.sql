-- Sums of calls by hour and by day, for each set of dimensions (`kind`, see dashboards/rollups/sets.py). A combination of
-- values is kept once, as a key. Each kind and grain has a table of its own, so that reading one never passes by the others.
CREATE TABLE tollhouse_rollup_values (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    kind text NOT NULL,
    feature text NOT NULL DEFAULT '', tenant text NOT NULL DEFAULT '', cohort text NOT NULL DEFAULT '',
    user_ref text NOT NULL DEFAULT '', key text NOT NULL DEFAULT '', provider text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '', prompt_version text NOT NULL DEFAULT '', outcome text NOT NULL DEFAULT '',
    label text NOT NULL DEFAULT ''
);
CREATE INDEX tollhouse_rollup_values_user ON tollhouse_rollup_values (user_ref) WHERE user_ref <> '';

-- Money is in nano-dollars, as calls have it.
CREATE TABLE tollhouse_rollup (
    kind text NOT NULL, grain text NOT NULL, at timestamptz NOT NULL, key_id bigint NOT NULL,
    calls bigint NOT NULL, cost_nano bigint NOT NULL, unpriced_calls bigint NOT NULL, cached_calls bigint NOT NULL,
    retried_calls bigint NOT NULL, retried_nano bigint NOT NULL, fallback_calls bigint NOT NULL, fallback_nano bigint NOT NULL,
    entity_calls bigint NOT NULL,
    input_tokens bigint NOT NULL, cache_read_tokens bigint NOT NULL, cache_write_tokens bigint NOT NULL,
    audio_input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
    audio_output_tokens bigint NOT NULL, adjusted_tokens bigint NOT NULL, cost_squared float8 NOT NULL,
    PRIMARY KEY (kind, grain, at, key_id)
) PARTITION BY LIST (kind);

-- Latencies as sketches: entries of 6 bytes, a bucket (int2) and how many calls fell into it (int4), big-endian. A bucket may
-- have several entries, which add up.
CREATE TABLE tollhouse_rollup_sketch (
    kind text NOT NULL, grain text NOT NULL, at timestamptz NOT NULL, key_id bigint NOT NULL,
    latency bytea NOT NULL, first_token bytea NOT NULL, gate bytea NOT NULL, provider bytea NOT NULL,
    PRIMARY KEY (kind, grain, at, key_id)
) PARTITION BY LIST (kind);

-- Personal data that was found, by type. Of the kind `core` only.
CREATE TABLE tollhouse_rollup_entity (
    kind text NOT NULL, grain text NOT NULL, at timestamptz NOT NULL, key_id bigint NOT NULL, entity text NOT NULL,
    found bigint NOT NULL, PRIMARY KEY (kind, grain, at, key_id, entity)
);

DO $$
DECLARE
    parent text;
    kind text;
    grain text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['tollhouse_rollup', 'tollhouse_rollup_sketch'] LOOP
        FOREACH kind IN ARRAY ARRAY['core', 'key', 'tenant', 'label', 'user'] LOOP
            CONTINUE WHEN parent = 'tollhouse_rollup_sketch' AND kind IN ('label', 'user');
            EXECUTE format('CREATE TABLE %1$s_%2$s PARTITION OF %1$s FOR VALUES IN (%2$L) PARTITION BY LIST (grain)', parent, kind);
            FOREACH grain IN ARRAY ARRAY['hour', 'day'] LOOP
                EXECUTE format('CREATE TABLE %1$s_%2$s_%3$s PARTITION OF %1$s_%2$s FOR VALUES IN (%3$L) WITH (fillfactor = 80)',
                               parent, kind, grain);
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
