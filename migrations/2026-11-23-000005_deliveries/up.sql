CREATE TABLE deliveries (
    app_id              TEXT NOT NULL,
    id                  UUID NOT NULL,
    notification_id     UUID,
    user_id             TEXT NOT NULL,
    category            TEXT NOT NULL,
    transport           TEXT NOT NULL CHECK (transport IN ('push', 'email', 'whatsapp')),
    state               TEXT NOT NULL CHECK (state IN
        ('ready', 'leased', 'sent', 'delivered', 'failed', 'skipped', 'expired', 'cancelled', 'unknown', 'dead')),
    priority            SMALLINT NOT NULL,
    run_at              TIMESTAMPTZ NOT NULL,
    expires_at          TIMESTAMPTZ NOT NULL,
    attempt             INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    tries               INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    lease               UUID,
    lease_until         TIMESTAMPTZ,
    collapse_key        TEXT,
    content             JSONB NOT NULL,
    provider            TEXT,
    provider_message_id TEXT,
    reason              TEXT,
    idempotency_key     UUID NOT NULL DEFAULT gen_random_uuid(),
    duplicate_possible  BOOLEAN NOT NULL DEFAULT false,
    delivered_at        TIMESTAMPTZ,
    read_at             TIMESTAMPTZ,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, id),
    CHECK ((state = 'leased') = (lease IS NOT NULL AND lease_until IS NOT NULL))
)
-- Every claim and every end changes the row.
WITH (fillfactor = 70);
COMMENT ON TABLE deliveries IS 'One notification by one transport other than in_app: a queue, and afterwards what became of it.';
COMMENT ON COLUMN deliveries.state IS 'ready: to be sent at run_at. leased: a worker has it. sent: a provider took it. delivered: it arrived. failed: the address is dead. skipped: a rule said no, see reason. unknown: it may have been sent. dead: given up, an operator may retry it.';
COMMENT ON COLUMN deliveries.priority IS 'The smaller goes first: 0 urgent, 50 normal, 100 bulk.';
COMMENT ON COLUMN deliveries.attempt IS 'Counted by each claim, never down; whoever finishes an attempt must name its number.';
COMMENT ON COLUMN deliveries.tries IS 'Attempts that count towards the most that a transport makes: those that waited for an operator do not.';
COMMENT ON COLUMN deliveries.lease IS 'Who has it, until lease_until.';
COMMENT ON COLUMN deliveries.collapse_key IS 'A later delivery with the same key replaces an earlier one that has not been read yet, where the provider can.';
COMMENT ON COLUMN deliveries.content IS 'What is to be sent, already in the user''s language.';
COMMENT ON COLUMN deliveries.reason IS 'Why it ended as it did, in a word: read, preference, suppressed, no_address, quiet_hours, not_a_member, …';
COMMENT ON COLUMN deliveries.idempotency_key IS 'By which a provider knows a repeat; a new one when an operator changes the content.';
COMMENT ON COLUMN deliveries.duplicate_possible IS 'An earlier attempt may have arrived although a later one was allowed.';
COMMENT ON COLUMN deliveries.read_at IS 'When a provider told that it was opened; then it was delivered as well.';

-- A lane is what one app sends by one transport; a claim looks at the head of each lane's priorities.
CREATE INDEX deliveries_due ON deliveries (app_id, transport, priority, run_at, id) WHERE state = 'ready';
-- The second condition is always true: without naming it, no claim can be planned on this index, which lacks its order.
CREATE INDEX deliveries_expiring ON deliveries (expires_at) WHERE state = 'ready' AND expires_at > '-infinity';
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE state = 'leased';
CREATE INDEX deliveries_of_notification ON deliveries (app_id, notification_id) WHERE notification_id IS NOT NULL;
CREATE INDEX deliveries_dead ON deliveries (app_id, updated_at, id) WHERE state IN ('dead', 'unknown');
CREATE INDEX deliveries_finished ON deliveries (updated_at)
    WHERE state IN ('sent', 'delivered', 'failed', 'skipped', 'expired', 'cancelled');

CREATE TABLE attempts (
    app_id              TEXT NOT NULL,
    delivery_id         UUID NOT NULL,
    number              INTEGER NOT NULL CHECK (number > 0),
    call                INTEGER NOT NULL DEFAULT 1 CHECK (call > 0),
    provider            TEXT NOT NULL,
    address             TEXT NOT NULL,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    finished_at         TIMESTAMPTZ,
    outcome             TEXT,
    http_status         INTEGER,
    provider_message_id TEXT,
    answer              TEXT,
    duplicate_possible  BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (app_id, delivery_id, number, call),
    FOREIGN KEY (app_id, delivery_id) REFERENCES deliveries (app_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE attempts IS 'Each call of a provider, written before the call: one that was never finished may have been made.';
COMMENT ON COLUMN attempts.number IS 'The claim that it was made under: deliveries.attempt at that time.';
COMMENT ON COLUMN attempts.call IS '1, 2, … within one claim: several devices, or another provider after the first.';
COMMENT ON COLUMN attempts.address IS 'Whom the provider was told to reach.';
COMMENT ON COLUMN attempts.duplicate_possible IS 'An earlier call may have arrived when this one was made.';
COMMENT ON COLUMN attempts.outcome IS 'sent, or a class of failure: permanent_recipient, permanent_message, operator, retryable, unknown.';
COMMENT ON COLUMN attempts.answer IS 'What the provider said, cut and without secrets.';
CREATE INDEX attempts_of_message ON attempts (app_id, provider, provider_message_id)
    WHERE provider_message_id IS NOT NULL;

CREATE TABLE suppressions (
    app_id     TEXT NOT NULL,
    transport  TEXT NOT NULL,
    address    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, transport, address)
);
COMMENT ON TABLE suppressions IS 'Addresses that nothing is sent to: dead ones, bounces, complaints.';
