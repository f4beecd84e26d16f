-- What may change while an app is served moves into one document, so that a new limit needs no migration.
ALTER TABLE apps
    ADD COLUMN policy                jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(policy) = 'object'),
    ADD COLUMN previous_secret       TEXT,
    ADD COLUMN previous_secret_until TIMESTAMPTZ,
    ADD COLUMN updated_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    ADD CONSTRAINT apps_previous_secret_ends CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL));

UPDATE apps
SET policy     = jsonb_build_object('client_events', client_events, 'protected_channels', protected_channels),
    updated_at = created_at;

ALTER TABLE apps
    DROP COLUMN client_events,
    DROP COLUMN protected_channels;

COMMENT ON COLUMN apps.policy IS 'What the app may do and how much of it, with the names of [apps.policy] in the configuration. What is left out is the default.';
COMMENT ON COLUMN apps.previous_secret IS 'The secret before the last rotation, taken as well until previous_secret_until.';
COMMENT ON COLUMN apps.previous_secret_until IS 'When previous_secret stops being taken.';
COMMENT ON COLUMN apps.updated_at IS 'When the policy or the secret changed last.';

-- Nodes listen, and read the apps again at once. Postgres joins equal notifications of one transaction.
CREATE FUNCTION kabar_apps_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kabar_apps', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION kabar_apps_changed() IS 'Tells every node that listens on kabar_apps that apps changed.';

CREATE TRIGGER apps_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON apps
    FOR EACH STATEMENT EXECUTE FUNCTION kabar_apps_changed();
CREATE TRIGGER app_api_keys_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON app_api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION kabar_apps_changed();
