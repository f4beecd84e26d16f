//! Webhooks of this node: what the hub sees goes to the tracker, loops store and send it.

use std::sync::Arc;

use hub::{Apps, Observed, Observer};
use protocol::AppId;
use store::Store;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use webhooks::post::Poster;
use webhooks::{Endpoint, Endpoints, Event, Recorder, Sender, SystemClock, Tracker};

use crate::settings::Settings;

/// Everything about webhooks, not started yet.
pub struct Webhooks {
    observer: Arc<Told>,
    recorder: Recorder,
    sender: Sender,
    configured: Configured,
}

/// Takes the endpoints of a configuration that was read again.
pub type Configured = watch::Sender<Vec<Endpoint>>;

/// Webhooks whose loops run.
pub struct Running {
    tracker: Tracker,
    stop: watch::Sender<bool>,
    recording: JoinHandle<()>,
    sending: JoinHandle<()>,
}

impl Webhooks {
    /// Composes them; needs no database yet.
    ///
    /// # Errors
    /// A setting that is bad, or TLS that cannot be set up.
    pub fn new(settings: &Settings, store: Store, apps: Apps) -> anyhow::Result<Self> {
        let config = settings.webhooks.config();
        let (clock, enqueued) = (Arc::new(SystemClock), Arc::new(Notify::new()));
        let poster = Poster::new(settings.webhooks.guard()?, config.timeout)?;
        let (tracker, endpoints) = (Tracker::new(&config, clock.clone()), Endpoints::default());
        let (told, known) = watch::channel(configured(settings)?);
        let recorder = Recorder::new(
            store.clone(),
            tracker.clone(),
            endpoints.clone(),
            known,
            config.clone(),
            clock.clone(),
            Arc::clone(&enqueued),
        );
        let credentials = move |app: &AppId| {
            let app = apps.by_id(app.as_str())?;
            Some((app.key.clone(), app.secret.clone()))
        };
        let sender = Sender::new(store, endpoints.clone(), Arc::new(credentials), poster, config, clock, enqueued);
        Ok(Self { observer: Arc::new(Told { tracker, endpoints }), recorder, sender, configured: told })
    }

    /// Takes what the hub sees.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.observer) as _
    }

    /// Where to put the endpoints of a configuration that was read again; they count within seconds.
    pub fn configured(&self) -> Configured {
        self.configured.clone()
    }

    /// Starts to store and send. The database may be away, or not migrated yet.
    pub fn start(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let recording = tokio::spawn(self.recorder.run(stopped.clone()));
        let sending = tokio::spawn(self.sender.run(stopped));
        Running { tracker: self.observer.tracker.clone(), stop, recording, sending }
    }
}

impl Running {
    /// Before sockets are closed because this process stops: who goes from now on comes back to the next one, and is not
    /// told gone.
    pub fn hold(&self) {
        self.tracker.hold();
    }

    /// Stores what was observed and lets requests under way end: a few seconds at most. What is not sent yet is sent by
    /// the next process.
    pub async fn stop(self) {
        // Both loops hold a receiver as long as they run.
        let _ = self.stop.send(true);
        for ended in <[_; 2]>::from(tokio::join!(self.recording, self.sending)) {
            if let Err(error) = ended {
                tracing::error!(%error, "a loop of webhooks ended by itself");
            }
        }
    }
}

/// The endpoints of the configuration.
///
/// # Errors
/// An app id that is none.
pub(crate) fn configured(settings: &Settings) -> anyhow::Result<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    for app in &settings.apps {
        let id = AppId::try_from(app.id.as_str())?;
        endpoints.extend(app.webhooks.iter().map(|webhook| webhook.endpoint(&id)));
    }
    Ok(endpoints)
}

struct Told {
    tracker: Tracker,
    endpoints: Endpoints,
}

impl Observer for Told {
    fn wants(&self, app: &AppId) -> bool {
        self.endpoints.wants(app)
    }

    fn observe(&self, app: &AppId, event: Observed<'_>) {
        self.tracker.observe(app, owned(event));
    }
}

fn owned(event: Observed<'_>) -> Event {
    let own = str::to_owned;
    match event {
        Observed::Occupied { channel } => Event::ChannelOccupied { channel: own(channel) },
        Observed::Vacated { channel } => Event::ChannelVacated { channel: own(channel) },
        Observed::MemberAdded { channel, user } => Event::MemberAdded { channel: own(channel), user_id: own(user) },
        Observed::MemberRemoved { channel, user } => Event::MemberRemoved { channel: own(channel), user_id: own(user) },
        Observed::ClientEvent { channel, event, data, socket, user } => Event::ClientEvent {
            channel: own(channel),
            event: own(event),
            data: own(data),
            socket_id: socket,
            user_id: user.map(own),
        },
        Observed::CacheMiss { channel } => Event::CacheMiss { channel: own(channel) },
        Observed::SubscriptionCount { channel, count } => {
            Event::SubscriptionCount { channel: own(channel), subscription_count: count }
        }
    }
}
