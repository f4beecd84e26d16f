CREATE TABLE inboxes (
    app_id   TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    last_seq BIGINT NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    PRIMARY KEY (app_id, user_id)
)
-- Every notification changes the row.
WITH (fillfactor = 70);
COMMENT ON TABLE inboxes IS 'How many notifications a user ever got in their list; its row lock makes the order of commits the order of seq.';

CREATE TABLE notifications (
    app_id        TEXT NOT NULL,
    id            UUID NOT NULL,
    user_id       TEXT NOT NULL,
    seq           BIGINT CHECK (seq > 0),
    type          TEXT NOT NULL,
    category      TEXT NOT NULL,
    title         TEXT NOT NULL,
    body          TEXT NOT NULL,
    link          TEXT,
    image_url     TEXT,
    actor         JSONB,
    data          JSONB NOT NULL DEFAULT '{}',
    source_event  TEXT,
    send_at       TIMESTAMPTZ,
    request       JSONB,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    seen_at       TIMESTAMPTZ,
    read_at       TIMESTAMPTZ,
    archived_at   TIMESTAMPTZ,
    snoozed_until TIMESTAMPTZ,
    clicked_at    TIMESTAMPTZ,
    expires_at    TIMESTAMPTZ,
    PRIMARY KEY (app_id, id),
    CONSTRAINT notifications_seq UNIQUE (app_id, user_id, seq),
    CHECK ((send_at IS NULL) = (request IS NULL)),
    CHECK (send_at IS NULL OR seq IS NULL)
)
-- Seen, read and archived change the row.
WITH (fillfactor = 85);
COMMENT ON TABLE notifications IS 'What users are told.';
COMMENT ON COLUMN notifications.seq IS 'Its place in the user''s list: 1, 2, 3, … without gap; null where it is in no list, because it is not told yet or goes by other transports only.';
COMMENT ON COLUMN notifications.source_event IS 'What it tells of, in the backend''s words: one user is told once of each type.';
COMMENT ON COLUMN notifications.send_at IS 'Not told yet: it will be then. Null once it is.';
COMMENT ON COLUMN notifications.request IS 'What is needed to tell it at send_at: transports, priority and so on.';
COMMENT ON COLUMN notifications.created_at IS 'When it came into the list, or went out.';
COMMENT ON COLUMN notifications.snoozed_until IS 'In no list and not counted until then.';
COMMENT ON COLUMN notifications.expires_at IS 'In no list and not counted from then on.';

CREATE UNIQUE INDEX notifications_source_event ON notifications (app_id, user_id, type, source_event)
    WHERE source_event IS NOT NULL;
CREATE INDEX notifications_unread ON notifications (app_id, user_id)
    WHERE seq IS NOT NULL AND read_at IS NULL AND archived_at IS NULL;
CREATE INDEX notifications_scheduled ON notifications (send_at) WHERE send_at IS NOT NULL;

CREATE TABLE preferences (
    app_id    TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    category  TEXT NOT NULL,
    transport TEXT NOT NULL CHECK (transport IN ('in_app', 'push', 'email', 'whatsapp')),
    enabled   BOOLEAN NOT NULL,
    PRIMARY KEY (app_id, user_id, category, transport)
);
COMMENT ON TABLE preferences IS 'What users switched on or off themselves; where there is no row, the defaults hold.';
COMMENT ON COLUMN preferences.category IS 'A category, or * for all that have no row of their own.';

CREATE TABLE notification_settings (
    app_id      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    quiet_from  TIME,
    quiet_until TIME,
    time_zone   TEXT,
    locale      TEXT,
    digest      TEXT NOT NULL DEFAULT 'off' CHECK (digest IN ('off', 'hourly', 'daily', 'weekly')),
    PRIMARY KEY (app_id, user_id),
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL))
);
COMMENT ON TABLE notification_settings IS 'When and in which language users want to be told.';
COMMENT ON COLUMN notification_settings.quiet_from IS 'Local time at which quiet hours begin; they may end on the next day.';
COMMENT ON COLUMN notification_settings.time_zone IS 'IANA name; null means that of users.';
COMMENT ON COLUMN notification_settings.locale IS 'BCP 47; null means that of users.';
COMMENT ON COLUMN notification_settings.digest IS 'How often what can wait is told together.';

CREATE TABLE notification_subscriptions (
    app_id      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id   TEXT NOT NULL,
    transports  TEXT[],
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, user_id, target_type, target_id)
);
COMMENT ON TABLE notification_subscriptions IS 'What users want to hear of: a group, a course, a post, an event.';
COMMENT ON COLUMN notification_subscriptions.transports IS 'By which; null means all.';

CREATE INDEX notification_subscriptions_target ON notification_subscriptions (app_id, target_type, target_id, user_id);

CREATE TABLE devices (
    app_id       TEXT NOT NULL,
    id           UUID NOT NULL,
    user_id      TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('web_push', 'fcm', 'onesignal')),
    address      TEXT NOT NULL,
    keys         JSONB,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_seen_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, id),
    CONSTRAINT devices_address UNIQUE (app_id, kind, address),
    CHECK ((kind = 'web_push') = (keys IS NOT NULL))
);
COMMENT ON TABLE devices IS 'Where push goes. A device that signs in as another user becomes theirs.';
COMMENT ON COLUMN devices.address IS 'web_push: the endpoint. fcm: the registration token. onesignal: the subscription or player id.';
COMMENT ON COLUMN devices.keys IS 'web_push: p256dh and auth, as the browser made them.';

CREATE INDEX devices_of_user ON devices (app_id, user_id, last_seen_at);

CREATE TABLE idempotency_keys (
    app_id      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BYTEA NOT NULL CHECK (octet_length(fingerprint) = 32),
    status      SMALLINT NOT NULL,
    answer      JSONB NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, key)
);
COMMENT ON TABLE idempotency_keys IS 'Requests of backends that were done, with what they were answered, so that the same one again does nothing.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the body: another one under the same key is refused.';

CREATE INDEX idempotency_keys_old ON idempotency_keys (created_at);
