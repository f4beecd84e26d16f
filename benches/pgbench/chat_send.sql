-- The statement of store's chat::send_message. Only its ids are made here instead of by the program.
\set n random(1, :rooms)
\set low random(0, 281474976710655)
\set client random(1, 9000000000000000000)
WITH ids AS (
    SELECT ('00000000-0000-7000-8000-' || lpad((:n)::text, 12, '0'))::uuid AS room,
           'user-' || (2 * (:n)::bigint) AS sender,
           (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '70008000'
               || lpad(to_hex((:low)::bigint), 12, '0'))::uuid AS message
), room AS (
    UPDATE rooms SET last_seq = last_seq + 1, updated_at = greatest(updated_at, clock_timestamp())
    WHERE app_id = 'pgbench' AND id = (SELECT room FROM ids)
      AND EXISTS (SELECT FROM members m
                  WHERE m.app_id = rooms.app_id AND m.room_id = rooms.id AND m.user_id = (SELECT sender FROM ids))
    RETURNING app_id, id, last_seq, updated_at
), message AS (
    INSERT INTO messages (app_id, room_id, id, seq, sender_id, type, content, attachment_url, reply_to_id, client_id, created_at)
    SELECT room.app_id, room.id, (SELECT message FROM ids), room.last_seq, (SELECT sender FROM ids), 'TEXT',
           repeat('x', 128), NULL, NULL, (:client)::text, room.updated_at
    FROM room
    RETURNING app_id, sender_id, seq, created_at
)
SELECT message.seq, message.created_at, u.name, u.avatar_url
FROM message JOIN users u ON u.app_id = message.app_id AND u.id = message.sender_id;
