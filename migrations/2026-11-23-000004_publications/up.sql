-- History of durable channels. The stream's row is locked while its publications are written, so that offsets follow the
-- order of commits: a reader can never pass a publication that appears later.

CREATE TABLE streams (
    app_id     TEXT NOT NULL,
    channel    TEXT NOT NULL,
    epoch      BIGINT NOT NULL DEFAULT ('x' || left(md5(gen_random_uuid()::text), 16))::bit(64)::bigint,
    top        BIGINT NOT NULL DEFAULT 0 CHECK (top >= 0),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, channel)
)
-- top and updated_at change with every publication and are in no index: room on the page keeps updates HOT.
WITH (fillfactor = 50);
COMMENT ON TABLE streams IS 'Durable channels and how far each is.';
COMMENT ON COLUMN streams.app_id IS 'The tenant; no foreign key, since apps of the configuration have no row.';
COMMENT ON COLUMN streams.epoch IS 'Random: names this life of the channel''s history. The 64 bits of an unsigned number.';
COMMENT ON COLUMN streams.top IS 'The offset of the newest publication; 0 before the first.';
COMMENT ON COLUMN streams.updated_at IS 'When it was made or last published to; never moves back.';

CREATE TABLE publications (
    app_id        TEXT NOT NULL,
    channel       TEXT NOT NULL,
    "offset"      BIGINT NOT NULL CHECK ("offset" > 0),
    event         BYTEA NOT NULL,
    data          BYTEA NOT NULL,
    except_socket TEXT,
    created_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id, channel, "offset")
);
COMMENT ON TABLE publications IS 'What was published to durable channels. Retention takes the oldest of a channel first, so what is there has no gap.';
COMMENT ON COLUMN publications."offset" IS '1, 2, 3, … in the channel, without gap, in the order in which publications were committed.';
COMMENT ON COLUMN publications.event IS 'The event''s name in UTF-8. Bytes, because U+0000 is good JSON and no TEXT.';
COMMENT ON COLUMN publications.data IS 'The payload in UTF-8; bytes for the same reason.';
COMMENT ON COLUMN publications.except_socket IS 'The id of a socket that shall not get it.';
COMMENT ON COLUMN publications.created_at IS 'When it was stored; never moves back within a channel.';

CREATE TABLE publication_ids (
    app_id     TEXT NOT NULL,
    channel    TEXT NOT NULL,
    hash       BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    "offset"   BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id, channel, hash)
);
CREATE INDEX publication_ids_by_age ON publication_ids (created_at);
COMMENT ON TABLE publication_ids IS 'Publishers'' own ids of publications, each accepted once per channel. Kept for a day, however soon the publication itself is gone.';
COMMENT ON COLUMN publication_ids.hash IS 'SHA-256 of the id, which may be of any length.';
COMMENT ON COLUMN publication_ids."offset" IS 'Where the publication is, or was.';
