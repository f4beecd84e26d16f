-- Users, rooms of two and their members for chat_send.sql: as many rooms as `load chat` uses.
INSERT INTO users (app_id, id, name, managed)
SELECT 'pgbench', 'user-' || n, 'User ' || n, true FROM generate_series(1, 2 * :rooms) n
ON CONFLICT DO NOTHING;

INSERT INTO rooms (app_id, id, type, dm_key)
SELECT 'pgbench', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'DIRECT', 'pgbench-' || n
FROM generate_series(1, :rooms) n
ON CONFLICT DO NOTHING;

INSERT INTO members (app_id, room_id, user_id, last_read_seq, last_delivered_seq, joined_seq)
SELECT 'pgbench', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'user-' || (2 * n - side), 0, 0, 0
FROM generate_series(1, :rooms) n, generate_series(0, 1) side
ON CONFLICT DO NOTHING;
