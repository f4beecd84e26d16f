DROP TABLE idempotency_keys;
DROP TABLE devices;
DROP TABLE notification_subscriptions;
DROP TABLE notification_settings;
DROP TABLE preferences;
DROP TABLE notifications;
DROP TABLE inboxes;
