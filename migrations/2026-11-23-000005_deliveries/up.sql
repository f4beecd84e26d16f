CREATE TABLE deliveries (
    app_id              TEXT NOT NULL,
    id                  UUID NOT NULL,
    notification_id     UUID,
    user_id             TEXT NOT NULL,
    category            TEXT NOT NULL,
    transport           TEXT NOT NULL CHECK (transport IN ('push', 'email', 'whatsapp')),
    state               TEXT NOT NULL CHECK (state IN
        ('ready', 'leased', 'sent', 'delivered', 'skipped', 'expired', 'cancelled', 'unknown', 'dead')),
    priority            SMALLINT NOT NULL,
    run_at              TIMESTAMPTZ NOT NULL,
    expires_at          TIMESTAMPTZ NOT NULL,
    attempt             INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    lease               UUID,
    lease_until         TIMESTAMPTZ,
    collapse_key        TEXT,
    content             JSONB NOT NULL,
    provider            TEXT,
    provider_message_id TEXT,
    reason              TEXT,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, id),
    CHECK ((state = 'leased') = (lease IS NOT NULL AND lease_until IS NOT NULL))
)
-- Every claim and every end changes the row.
WITH (fillfactor = 70);
COMMENT ON TABLE deliveries IS 'One notification by one transport other than in_app: a queue, and afterwards what became of it.';
COMMENT ON COLUMN deliveries.state IS 'ready: to be sent at run_at. leased: a worker has it. sent: a provider took it. delivered: it arrived. skipped: a rule said no, see reason. unknown: it may have been sent. dead: given up, an operator may retry it.';
COMMENT ON COLUMN deliveries.priority IS 'The smaller goes first: 0 urgent, 50 normal, 100 bulk.';
COMMENT ON COLUMN deliveries.attempt IS 'Counted before each call of a provider; whoever finishes an attempt must name its number.';
COMMENT ON COLUMN deliveries.lease IS 'Who has it, until lease_until.';
COMMENT ON COLUMN deliveries.collapse_key IS 'A later delivery with the same key replaces an earlier one that has not been read yet, where the provider can.';
COMMENT ON COLUMN deliveries.content IS 'What is to be sent, already in the user''s language.';
COMMENT ON COLUMN deliveries.reason IS 'Why it ended as it did, in a word: read, preference, suppressed, no_address, quiet_hours, not_a_member, …';

CREATE INDEX deliveries_due ON deliveries (priority, run_at, id) WHERE state = 'ready';
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'leased';
CREATE INDEX deliveries_of_notification ON deliveries (app_id, notification_id);
CREATE INDEX deliveries_dead ON deliveries (app_id, updated_at) WHERE state IN ('dead', 'unknown');

CREATE TABLE attempts (
    app_id              TEXT NOT NULL,
    delivery_id         UUID NOT NULL,
    number              INTEGER NOT NULL CHECK (number > 0),
    provider            TEXT NOT NULL,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    finished_at         TIMESTAMPTZ,
    outcome             TEXT,
    http_status         INTEGER,
    provider_message_id TEXT,
    answer              TEXT,
    duplicate_possible  BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (app_id, delivery_id, number),
    FOREIGN KEY (app_id, delivery_id) REFERENCES deliveries (app_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE attempts IS 'Each call of a provider, written before the call: one that was never finished may have been made.';
COMMENT ON COLUMN attempts.outcome IS 'sent, or a class of failure: permanent_recipient, permanent_message, operator, retryable, unknown.';
COMMENT ON COLUMN attempts.answer IS 'What the provider said, cut and without secrets.';

CREATE TABLE suppressions (
    app_id     TEXT NOT NULL,
    transport  TEXT NOT NULL,
    address    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, transport, address)
);
COMMENT ON TABLE suppressions IS 'Addresses that nothing is sent to: dead ones, bounces, complaints.';
