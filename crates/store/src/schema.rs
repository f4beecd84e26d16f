//! The tables as diesel sees them: what `migrations/` makes. A test compares the two.

diesel::table! {
    apps (id) {
        id -> Text,
        key -> Text,
        secret -> Text,
        created_at -> Timestamptz,
        policy -> Jsonb,
        previous_secret -> Nullable<Text>,
        previous_secret_until -> Nullable<Timestamptz>,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    app_api_keys (app_id, hash) {
        app_id -> Text,
        hash -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    users (app_id, id) {
        app_id -> Text,
        id -> Text,
        name -> Text,
        avatar_url -> Nullable<Text>,
        role -> Nullable<Text>,
        email -> Nullable<Text>,
        phone -> Nullable<Text>,
        locale -> Nullable<Text>,
        time_zone -> Nullable<Text>,
        managed -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    rooms (app_id, id) {
        app_id -> Text,
        id -> Uuid,
        #[sql_name = "type"]
        kind -> Text,
        title -> Nullable<Text>,
        dm_key -> Nullable<Text>,
        last_seq -> Int8,
        created_by -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    members (app_id, room_id, user_id) {
        app_id -> Text,
        room_id -> Uuid,
        user_id -> Text,
        last_read_seq -> Int8,
        last_delivered_seq -> Int8,
        read_at -> Timestamptz,
        delivered_at -> Timestamptz,
        joined_at -> Timestamptz,
        joined_seq -> Int8,
    }
}

diesel::table! {
    messages (app_id, room_id, id) {
        app_id -> Text,
        room_id -> Uuid,
        id -> Uuid,
        seq -> Int8,
        sender_id -> Text,
        #[sql_name = "type"]
        kind -> Text,
        content -> Text,
        attachment_url -> Nullable<Text>,
        reply_to_id -> Nullable<Uuid>,
        client_id -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    socket_tickets (app_id, hash) {
        app_id -> Text,
        hash -> Bytea,
        user_id -> Text,
        user_data -> Text,
        session_expires_at -> Nullable<Timestamptz>,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_endpoints (app_id, id) {
        app_id -> Text,
        id -> Uuid,
        url -> Text,
        events -> Array<Text>,
        channel_prefix -> Nullable<Text>,
        headers -> Jsonb,
        batching -> Bool,
        enabled -> Bool,
        configured -> Bool,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_deliveries (app_id, id) {
        app_id -> Text,
        id -> Uuid,
        seq -> Int8,
        endpoint_id -> Uuid,
        order_key -> Text,
        body -> Text,
        state -> Text,
        attempts -> Int4,
        next_attempt_at -> Timestamptz,
        lease -> Nullable<Uuid>,
        first_attempt_at -> Nullable<Timestamptz>,
        last_error -> Nullable<Text>,
        dead_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_occupancy (app_id, channel, user_id) {
        app_id -> Text,
        channel -> Text,
        user_id -> Text,
    }
}

diesel::table! {
    streams (app_id, channel) {
        app_id -> Text,
        channel -> Text,
        epoch -> Int8,
        top -> Int8,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    publications (app_id, channel, offset) {
        app_id -> Text,
        channel -> Text,
        offset -> Int8,
        event -> Bytea,
        data -> Bytea,
        except_socket -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    publication_ids (app_id, channel, hash) {
        app_id -> Text,
        channel -> Text,
        hash -> Bytea,
        offset -> Int8,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    deliveries (app_id, id) {
        app_id -> Text,
        id -> Uuid,
        notification_id -> Nullable<Uuid>,
        user_id -> Text,
        category -> Text,
        transport -> Text,
        state -> Text,
        priority -> Int2,
        run_at -> Timestamptz,
        expires_at -> Timestamptz,
        attempt -> Int4,
        tries -> Int4,
        lease -> Nullable<Uuid>,
        lease_until -> Nullable<Timestamptz>,
        collapse_key -> Nullable<Text>,
        content -> Jsonb,
        provider -> Nullable<Text>,
        provider_message_id -> Nullable<Text>,
        reason -> Nullable<Text>,
        idempotency_key -> Uuid,
        duplicate_possible -> Bool,
        delivered_at -> Nullable<Timestamptz>,
        read_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    attempts (app_id, delivery_id, number, call) {
        app_id -> Text,
        delivery_id -> Uuid,
        number -> Int4,
        call -> Int4,
        provider -> Text,
        address -> Text,
        started_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        outcome -> Nullable<Text>,
        http_status -> Nullable<Int4>,
        provider_message_id -> Nullable<Text>,
        answer -> Nullable<Text>,
        duplicate_possible -> Bool,
    }
}

diesel::table! {
    suppressions (app_id, transport, address) {
        app_id -> Text,
        transport -> Text,
        address -> Text,
        reason -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    inboxes (app_id, user_id) {
        app_id -> Text,
        user_id -> Text,
        last_seq -> Int8,
    }
}

diesel::table! {
    notifications (app_id, id) {
        app_id -> Text,
        id -> Uuid,
        user_id -> Text,
        seq -> Nullable<Int8>,
        #[sql_name = "type"]
        kind -> Text,
        category -> Text,
        title -> Text,
        body -> Text,
        link -> Nullable<Text>,
        image_url -> Nullable<Text>,
        actor -> Nullable<Jsonb>,
        data -> Jsonb,
        source_event -> Nullable<Text>,
        send_at -> Nullable<Timestamptz>,
        request -> Nullable<Jsonb>,
        created_at -> Timestamptz,
        seen_at -> Nullable<Timestamptz>,
        read_at -> Nullable<Timestamptz>,
        archived_at -> Nullable<Timestamptz>,
        snoozed_until -> Nullable<Timestamptz>,
        clicked_at -> Nullable<Timestamptz>,
        expires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    preferences (app_id, user_id, category, transport) {
        app_id -> Text,
        user_id -> Text,
        category -> Text,
        transport -> Text,
        enabled -> Bool,
    }
}

diesel::table! {
    notification_settings (app_id, user_id) {
        app_id -> Text,
        user_id -> Text,
        quiet_from -> Nullable<Time>,
        quiet_until -> Nullable<Time>,
        time_zone -> Nullable<Text>,
        locale -> Nullable<Text>,
        digest -> Text,
    }
}

diesel::table! {
    notification_subscriptions (app_id, user_id, target_type, target_id) {
        app_id -> Text,
        user_id -> Text,
        target_type -> Text,
        target_id -> Text,
        transports -> Nullable<Array<Text>>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    devices (app_id, id) {
        app_id -> Text,
        id -> Uuid,
        user_id -> Text,
        kind -> Text,
        address -> Text,
        keys -> Nullable<Jsonb>,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
    }
}

diesel::table! {
    idempotency_keys (app_id, key) {
        app_id -> Text,
        key -> Text,
        fingerprint -> Bytea,
        status -> Int2,
        answer -> Jsonb,
        created_at -> Timestamptz,
    }
}

diesel::allow_tables_to_appear_in_same_query!(users, rooms, members, messages);
diesel::allow_tables_to_appear_in_same_query!(users, notification_settings);

diesel::joinable!(app_api_keys -> apps (app_id));
diesel::allow_tables_to_appear_in_same_query!(app_api_keys, apps);
diesel::allow_tables_to_appear_in_same_query!(webhook_endpoints, webhook_deliveries);
