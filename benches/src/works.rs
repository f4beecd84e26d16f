//! The works that any server of the Pusher protocol can be put to.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::driver::{Driver, Outcome, Plan};
use crate::histogram::round;
use crate::process::{Usage, usage};
use crate::report::Report;
use crate::stamp;
use crate::target::{Join, Target};
use crate::wire::Opened;

/// Connections that publish at a rate: enough that a slow answer does not delay the next publish.
const RATED_PUBLISHERS: u32 = 32;
/// Channels of one socket that holds many: fewer than servers allow, and than frames they take in a second.
const QUIET_EACH: usize = 500;
/// Sockets that listen during a storm.
const PROBES: u64 = 10;

/// Channels with as many sockets each, published to in turn, and what else is there meanwhile.
pub(crate) struct Rooms {
    pub(crate) rooms: u32,
    pub(crate) of: u32,
    pub(crate) window: u32,
    pub(crate) rate: Option<f64>,
    /// Further channels that nothing is published to.
    pub(crate) others: u32,
    /// Sockets in the first room that read nothing at all.
    pub(crate) stalled: u32,
}

/// Publishes to the rooms in turn.
pub(crate) fn rooms(work: &str, target: &Target, load: &Rooms) -> anyhow::Result<Report> {
    let &Rooms { rooms, of, window, rate, others, stalled } = load;
    let _others = quiet_channels(target, others)?;
    let stalled: Vec<_> = (0..stalled).map(|_| Join::public("load-0".to_owned())).collect();
    let _stalled = target.open(&stalled)?;
    let channels: Vec<_> = (0..rooms).map(|room| format!("load-{room}")).collect();
    let joins: Vec<_> = channels.iter().flat_map(|channel| (0..of).map(|_| Join::public(channel.clone()))).collect();
    let opened = target.open(&joins)?;
    let sockets = opened.len() as u64;
    let (plan, publishers) = plan(target, window, rate, u64::from(of));
    let driver = Driver::new(target.addr, opened, publishers)?;
    let signer = target.signer();
    // A step that shares no factor with most counts, so that neighbours are not published to one after the other.
    let mut request = |n: u64, stamp: u64| {
        let channel = &channels[(n * 7_919 % u64::from(rooms)) as usize];
        target.publish(&signer, channel, &stamp::payload(stamp, target.bytes as usize))
    };
    let (outcome, usage) = measured(target, || driver.run(plan, &mut request))?;
    Ok(Report::new(work, target, sockets).outcome(plan, &outcome).usage(usage, outcome.deliveries))
}

/// Sockets that hold so many channels, [`QUIET_EACH`] each.
fn quiet_channels(target: &Target, channels: u32) -> anyhow::Result<Vec<Opened>> {
    let names: Vec<_> = (0..channels).map(|channel| format!("quiet-{channel}")).collect();
    let shares: Vec<_> = names.chunks(QUIET_EACH).collect();
    let first: Vec<_> = shares.iter().map(|share| Join::public(share[0].clone())).collect();
    let mut opened = target.open(&first)?;
    for (socket, share) in opened.iter_mut().zip(shares) {
        socket.subscribe(&share[1..])?;
    }
    Ok(opened)
}

/// How to publish, and over how many connections.
pub(crate) fn plan(target: &Target, window: u32, rate: Option<f64>, fan_out: u64) -> (Plan, usize) {
    let (window, publishers) = match rate {
        // No more than are used each second: servers close a connection whose first request does not come.
        Some(rate) => (u64::MAX, (rate.ceil() as u32).clamp(1, RATED_PUBLISHERS)),
        None => (u64::from(window), window),
    };
    (Plan { duration: target.duration(), rate, window, fan_out }, publishers as usize)
}

/// Runs it and reads what the server used meanwhile.
pub(crate) fn measured(
    target: &Target,
    run: impl FnOnce() -> anyhow::Result<Outcome>,
) -> anyhow::Result<(Outcome, Option<(Usage, Usage)>)> {
    let before = target.pid.map(usage).transpose()?;
    let outcome = run()?;
    let after = target.pid.map(usage).transpose()?;
    Ok((outcome, before.zip(after)))
}

/// Sockets that only are there.
pub(crate) fn idle(target: &Target, sockets: u32) -> anyhow::Result<Report> {
    let pid = target.pid.context("memory is read from the server's process: give --pid")?;
    // What the first few sockets make the server set up once is not theirs.
    let warm: Vec<_> = (0..100).map(|index| Join::public(format!("warm-{index}"))).collect();
    let warm = target.open(&warm)?;
    let before = usage(pid)?;
    let joins: Vec<_> = (0..sockets).map(|index| Join::public(format!("idle-{index}"))).collect();
    let opened = target.open(&joins)?;
    let after = usage(pid)?;
    thread::sleep(target.duration());
    let later = usage(pid)?;
    let mut report = Report::new("idle", target, opened.len() as u64).usage(Some((after, later)), 0);
    let grown = later.rss_bytes.saturating_sub(before.rss_bytes);
    report.rss_bytes_per_socket = Some(round(grown as f64 / opened.len() as f64));
    report.seconds = target.seconds as f64;
    drop(warm);
    Ok(report)
}

/// All sockets drop a second after the start, and reconnect at once.
pub(crate) fn storm(target: &Target, sockets: u32, rate: f64) -> anyhow::Result<Report> {
    let joins: Vec<_> = (0..sockets).map(|index| Join::public(format!("storm-{index}"))).collect();
    let opened = target.open(&joins)?;
    let probes: Vec<_> = (0..PROBES).map(|_| Join::public("probe".to_owned())).collect();
    let (plan, publishers) = plan(target, 0, Some(rate), PROBES);
    let driver = Driver::new(target.addr, target.open(&probes)?, publishers)?;
    let signer = target.signer();
    let mut request =
        |_: u64, stamp: u64| target.publish(&signer, "probe", &stamp::payload(stamp, target.bytes as usize));
    let ((outcome, usage), reconnected) = thread::scope(|scope| {
        let storm = scope.spawn(|| {
            thread::sleep(Duration::from_secs(1));
            reconnect(target, opened, &joins)
        });
        let measured = measured(target, || driver.run(plan, &mut request));
        (measured, storm.join().expect("connecting does not panic"))
    })
    .into_result()?;
    let mut report = Report::new("storm", target, u64::from(sockets)).outcome(plan, &outcome);
    report = report.usage(usage, outcome.deliveries);
    report.reconnect_seconds = Some(reconnected.0);
    Ok(report)
}

fn reconnect(target: &Target, opened: Vec<Opened>, joins: &[Join]) -> anyhow::Result<(f64, Vec<Opened>)> {
    let started = Instant::now();
    drop(opened);
    // Given back, so that they stay open until the measurement ends.
    let again = target.open(joins)?;
    Ok((round(started.elapsed().as_secs_f64()), again))
}

trait BothResults<A, B> {
    fn into_result(self) -> anyhow::Result<(A, B)>;
}

impl<A, B> BothResults<A, B> for (anyhow::Result<A>, anyhow::Result<B>) {
    fn into_result(self) -> anyhow::Result<(A, B)> {
        Ok((self.0?, self.1?))
    }
}
