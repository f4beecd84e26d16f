//! Events and endpoints become requests.

use chrono::{DateTime, Utc};
use protocol::AppId;
use store::webhooks::{Endpoint, NewDelivery};
use uuid::Uuid;

use crate::config::Config;
use crate::endpoints::{Endpoints, wants};
use crate::event::Event;

/// The requests that tell these events, in their order: to each endpoint of the event's app, what it wants and nothing
/// else. Without batching there is one event in each.
pub fn plan(events: &[(AppId, Event)], endpoints: &Endpoints, config: &Config, now: DateTime<Utc>) -> Vec<NewDelivery> {
    let mut apps: Vec<&AppId> = events.iter().map(|(app, _)| app).collect();
    apps.sort();
    apps.dedup();
    let mut planned = Vec::new();
    for app in apps {
        for endpoint in endpoints.of(app).iter() {
            let wanted = events.iter().filter(|(of, event)| of == app && wants(endpoint, event));
            let wanted = wanted.map(|(_, event)| event);
            match endpoint.batching {
                true => batches(endpoint, wanted, config, now, &mut planned),
                false => planned.extend(wanted.map(|event| delivery(endpoint, event.channel(), &[json(event)], now))),
            }
        }
    }
    planned
}

fn batches<'a>(
    endpoint: &Endpoint,
    wanted: impl Iterator<Item = &'a Event>,
    config: &Config,
    now: DateTime<Utc>,
    planned: &mut Vec<NewDelivery>,
) {
    let envelope = body(&[], now).len();
    let (mut batch, mut bytes) = (Vec::new(), envelope);
    for event in wanted.map(json) {
        // With the comma before it.
        let more = event.len() + 1;
        if !batch.is_empty() && (batch.len() >= config.batch_events_max || bytes + more > config.batch_bytes_max) {
            planned.push(delivery(endpoint, "", &batch, now));
            batch.clear();
            bytes = envelope;
        }
        bytes += more;
        batch.push(event);
    }
    if !batch.is_empty() {
        planned.push(delivery(endpoint, "", &batch, now));
    }
}

fn delivery(endpoint: &Endpoint, order_key: &str, events: &[String], now: DateTime<Utc>) -> NewDelivery {
    NewDelivery {
        app: endpoint.app.clone(),
        id: Uuid::now_v7(),
        endpoint: endpoint.id,
        order_key: order_key.to_owned(),
        body: body(events, now),
    }
}

fn body(events: &[String], now: DateTime<Utc>) -> String {
    format!(r#"{{"time_ms":{},"events":[{}]}}"#, now.timestamp_millis(), events.join(","))
}

fn json(event: &Event) -> String {
    serde_json::to_string(event).expect("an event holds only strings and numbers")
}
