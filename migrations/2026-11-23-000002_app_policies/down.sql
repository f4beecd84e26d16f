DROP TRIGGER app_api_keys_changed ON app_api_keys;
DROP TRIGGER apps_changed ON apps;
DROP FUNCTION kabar_apps_changed();

ALTER TABLE apps
    ADD COLUMN client_events      BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN protected_channels BOOLEAN NOT NULL DEFAULT true;
COMMENT ON COLUMN apps.client_events IS 'Whether clients may send client-… events.';
COMMENT ON COLUMN apps.protected_channels IS 'Whether user-… and chat-… are protected in this app.';

-- A value that is neither true nor false becomes the default.
UPDATE apps
SET client_events      = coalesce(policy -> 'client_events' = 'true', false),
    protected_channels = coalesce(policy -> 'protected_channels' <> 'false', true);

ALTER TABLE apps
    DROP CONSTRAINT apps_previous_secret_ends,
    DROP COLUMN policy,
    DROP COLUMN previous_secret,
    DROP COLUMN previous_secret_until,
    DROP COLUMN updated_at;
