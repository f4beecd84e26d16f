-- Every table is scoped by app: app_id leads every key, so no query can reach across tenants by an id alone.

CREATE TABLE apps (
    id                 TEXT PRIMARY KEY,
    key                TEXT NOT NULL UNIQUE,
    secret             TEXT NOT NULL,
    client_events      BOOLEAN NOT NULL DEFAULT false,
    protected_channels BOOLEAN NOT NULL DEFAULT true,
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE apps IS 'Tenants made with "kabar app create". Apps of the configuration file have no row here, so no other table references this one but app_api_keys.';
COMMENT ON COLUMN apps.key IS 'Public: clients connect with it.';
COMMENT ON COLUMN apps.secret IS 'Signs channel auth and HTTP requests; kept as it is because it must be computed with.';
COMMENT ON COLUMN apps.client_events IS 'Whether clients may send client-… events.';
COMMENT ON COLUMN apps.protected_channels IS 'Whether user-… and chat-… are protected in this app.';

CREATE TABLE app_api_keys (
    app_id     TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    hash       BYTEA NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, hash)
);
COMMENT ON TABLE app_api_keys IS 'Keys of backends for the internal API.';
COMMENT ON COLUMN app_api_keys.hash IS 'SHA-256 of the key; the key itself is stored nowhere.';

CREATE TABLE users (
    app_id     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    avatar_url TEXT,
    role       TEXT,
    email      TEXT,
    phone      TEXT,
    locale     TEXT,
    time_zone  TEXT,
    managed    BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, id)
);
COMMENT ON TABLE users IS 'People of an app as kabar knows them.';
COMMENT ON COLUMN users.app_id IS 'The tenant; no foreign key, since apps of the configuration have no row.';
COMMENT ON COLUMN users.id IS 'The backend''s own id.';
COMMENT ON COLUMN users.name IS 'The name to show; the id until something better is known.';
COMMENT ON COLUMN users.time_zone IS 'IANA name, such as Asia/Jakarta.';
COMMENT ON COLUMN users.managed IS 'The backend put this row; what a token says then no longer changes it.';

CREATE TABLE rooms (
    app_id     TEXT NOT NULL,
    id         UUID NOT NULL,
    type       TEXT NOT NULL CHECK (type IN ('DIRECT', 'GROUP', 'SUPPORT')),
    title      TEXT,
    dm_key     TEXT,
    last_seq   BIGINT NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    created_by TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, id),
    CONSTRAINT rooms_dm_key UNIQUE (app_id, dm_key),
    CONSTRAINT rooms_direct_has_dm_key CHECK ((type = 'DIRECT') = (dm_key IS NOT NULL)),
    FOREIGN KEY (app_id, created_by) REFERENCES users (app_id, id)
)
-- last_seq and updated_at change with every message and are in no index: room on the page keeps updates HOT.
WITH (fillfactor = 70);
COMMENT ON TABLE rooms IS 'Chat rooms.';
COMMENT ON COLUMN rooms.dm_key IS 'Of DIRECT rooms: the smaller user id, U+001F, the larger one (by bytes). Ids hold no control characters, so it is unambiguous.';
COMMENT ON COLUMN rooms.last_seq IS 'The seq of the newest message. Taken by UPDATE in the message''s own statement: the row lock makes commit order seq order, without gap.';
COMMENT ON COLUMN rooms.updated_at IS 'When the room was made or last written in; never moves back. Room lists are sorted by it.';

CREATE TABLE members (
    app_id             TEXT NOT NULL,
    room_id            UUID NOT NULL,
    user_id            TEXT NOT NULL,
    last_read_seq      BIGINT NOT NULL CHECK (last_read_seq >= 0),
    last_delivered_seq BIGINT NOT NULL,
    read_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    delivered_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    joined_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    joined_seq         BIGINT NOT NULL,
    PRIMARY KEY (app_id, room_id, user_id),
    CHECK (last_delivered_seq >= last_read_seq),
    FOREIGN KEY (app_id, room_id) REFERENCES rooms (app_id, id) ON DELETE CASCADE,
    FOREIGN KEY (app_id, user_id) REFERENCES users (app_id, id)
)
WITH (fillfactor = 80);
CREATE INDEX members_of_user ON members (app_id, user_id, room_id);
COMMENT ON TABLE members IS 'Who is in which room, with the receipts of each.';
COMMENT ON COLUMN members.last_read_seq IS 'Everything up to here was read; only moves forward. Starts at the room''s last_seq: unread begins at the join.';
COMMENT ON COLUMN members.last_delivered_seq IS 'Everything up to here reached one of the user''s clients; read implies delivered.';
COMMENT ON COLUMN members.read_at IS 'When last_read_seq last moved; the time of joining before that.';
COMMENT ON COLUMN members.joined_seq IS 'The room''s last_seq when the member joined.';

CREATE TABLE messages (
    app_id         TEXT NOT NULL,
    room_id        UUID NOT NULL,
    id             UUID NOT NULL,
    seq            BIGINT NOT NULL CHECK (seq > 0),
    sender_id      TEXT NOT NULL,
    type           TEXT NOT NULL CHECK (type IN ('TEXT', 'IMAGE', 'FILE')),
    content        TEXT NOT NULL,
    attachment_url TEXT,
    reply_to_id    UUID,
    client_id      TEXT,
    created_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id, room_id, id),
    CONSTRAINT messages_client_id UNIQUE (app_id, room_id, sender_id, client_id),
    FOREIGN KEY (app_id, room_id) REFERENCES rooms (app_id, id) ON DELETE CASCADE,
    FOREIGN KEY (app_id, sender_id) REFERENCES users (app_id, id),
    CONSTRAINT messages_reply_in_room FOREIGN KEY (app_id, room_id, reply_to_id) REFERENCES messages (app_id, room_id, id)
);
-- sender_id rides along so that unread messages are counted from the index alone.
CREATE UNIQUE INDEX messages_by_seq ON messages (app_id, room_id, seq) INCLUDE (sender_id);
COMMENT ON TABLE messages IS 'What people wrote. The order within a room is seq.';
COMMENT ON COLUMN messages.seq IS '1, 2, 3, … in the room, without gap, in the order in which messages were committed.';
COMMENT ON COLUMN messages.client_id IS 'The sender''s own id, so that a retry finds the first try.';
COMMENT ON CONSTRAINT messages_reply_in_room ON messages IS 'A reply answers a message of the same room.';

CREATE TABLE socket_tickets (
    app_id             TEXT NOT NULL,
    hash               BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    user_id            TEXT NOT NULL,
    user_data          TEXT NOT NULL,
    session_expires_at TIMESTAMPTZ,
    expires_at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (app_id, hash)
);
CREATE INDEX socket_tickets_by_expiry ON socket_tickets (expires_at);
COMMENT ON TABLE socket_tickets IS 'One-time tickets that open a socket; redeeming deletes the row.';
COMMENT ON COLUMN socket_tickets.hash IS 'SHA-256 of the ticket; the ticket itself is stored nowhere.';
COMMENT ON COLUMN socket_tickets.user_data IS 'JSON {"id","user_info"} that the socket is bound to.';
COMMENT ON COLUMN socket_tickets.session_expires_at IS 'When the token that the ticket was issued for runs out: the socket''s session ends then.';
COMMENT ON COLUMN socket_tickets.expires_at IS 'The ticket is worth nothing after this.';
