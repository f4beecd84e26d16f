//! How fast the queue is, beside pgbench running the same statements.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use diesel::sql_types::Text;
use store::{Config, Store};
use testkit::PrivatePostgres;

use super::*;

/// Connections at once, on either side.
const CLIENTS: i64 = 8;

/// `cargo test -p store --test store -- --ignored --nocapture claiming_is_measured`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn claiming_is_measured() {
    let on = ["fsync", "full_page_writes", "synchronous_commit"].map(|name| (name.to_owned(), "on".to_owned()));
    let postgres = PrivatePostgres::start_with(on.to_vec()).unwrap();
    let store = Store::open(&Config::new(postgres.url().to_owned())).unwrap();
    store.migrate().await.unwrap();
    let url = postgres.url().to_owned();
    tokio::task::spawn_blocking(move || measure(&url)).await.unwrap();
}

fn measure(url: &str) {
    let mut conn = PgConnection::establish(url).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("claim-and-finish.sql");
    std::fs::File::create(&script).unwrap().write_all(same_statements(&mut conn).as_bytes()).unwrap();
    for (queued, each) in [(1_000, 100), (300_000, 300)] {
        let (mut ours, mut batched, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        // Turn by turn: what else the machine does falls on each alike.
        for _ in 0..3 {
            fill(&mut conn, queued);
            ours.push(run(url, each, 1));
            fill(&mut conn, queued);
            theirs.extend(pgbench(url, &script, each));
            fill(&mut conn, queued);
            batched.push(run(url, each, 50));
        }
        let (ours, batched, theirs) = (median(ours), median(batched), (!theirs.is_empty()).then(|| median(theirs)));
        let ratio = theirs.map_or(f64::NAN, |theirs| ours / theirs);
        println!(
            "{queued:7} queued: {ours:6.0}/s one by one, pgbench {theirs:6.0?}/s ({ratio:.2}), {batched:6.0}/s by 50"
        );
        fill(&mut conn, queued);
        println!("        a claim of 50: {:?}", claim_time(&mut conn));
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Makes it so many that are ready, of two apps and by three transports.
fn fill(conn: &mut PgConnection, queued: i64) {
    sql(conn, "UPDATE deliveries SET state = 'skipped', lease = NULL, lease_until = NULL WHERE state = 'leased'");
    let counts = stats(conn, None).unwrap();
    let ready: u64 = counts.iter().filter(|one| one.state == State::Ready).map(|one| one.count).sum();
    let missing = queued - ready as i64;
    insert(conn, "ready", missing);
    sql(conn, "VACUUM ANALYZE deliveries");
}

/// So many more, of two apps and by three transports.
pub(super) fn insert(conn: &mut PgConnection, state: &str, count: i64) {
    let text = format!(
        "INSERT INTO deliveries (app_id, id, notification_id, user_id, category, transport, state, priority, run_at,
             expires_at, content)
         SELECT (n % 2)::text, gen_random_uuid(), gen_random_uuid(), 'ada', 'chat',
             (ARRAY['push', 'email', 'whatsapp'])[1 + n % 3], '{state}', 50, now(), now() + interval '1 day',
             '{{\"title\": \"Pesan Baru\", \"text\": \"halo\"}}'
         FROM generate_series(1, {count}) AS n"
    );
    sql(conn, &text);
}

/// Claims and finishes so many on several connections: how many a second.
fn run(url: &str, each: i64, batch: u32) -> f64 {
    let left = Arc::new(AtomicI64::new(each * CLIENTS));
    let conns: Vec<_> = (0..CLIENTS).map(|_| PgConnection::establish(url).unwrap()).collect();
    let since = Instant::now();
    let work = |mut conn: PgConnection| {
        let left = Arc::clone(&left);
        std::thread::spawn(move || {
            let worker = Uuid::now_v7();
            while left.load(Ordering::Relaxed) > 0 {
                for one in claim_due(&mut conn, &claim(worker, batch)).unwrap() {
                    let begun = begin(&mut conn, &one);
                    assert!(finish(&mut conn, &one, Some((&begun, &sent("m"))), &Ended::Sent).unwrap());
                    left.fetch_sub(1, Ordering::Relaxed);
                }
            }
        })
    };
    let threads: Vec<_> = conns.into_iter().map(work).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    (each * CLIENTS - left.load(Ordering::Relaxed)) as f64 / since.elapsed().as_secs_f64()
}

fn claim_time(conn: &mut PgConnection) -> Duration {
    let worker = Uuid::now_v7();
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let since = Instant::now();
            assert!(!claim_due(conn, &claim(worker, 50)).unwrap().is_empty());
            since.elapsed()
        })
        .collect();
    times.sort();
    times[7]
}

fn pgbench(url: &str, script: &Path, each: i64) -> Option<f64> {
    let (clients, each) = (CLIENTS.to_string(), each.to_string());
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients, "-t", &each, "-f"])
        .arg(script)
        .arg(url)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    assert!(tps.is_some() && output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    tps
}

/// What claims pass, as literals: one delivery.
const CLAIM_VALUES: [&str; 8] = [
    "1000::bigint",
    "1::bigint",
    "'{}'::text[]",
    "'{}'::bigint[]",
    "'{push,email,whatsapp}'::text[]",
    "'{1000,1000,1000}'::bigint[]",
    WORKER,
    "60::float8",
];
const WORKER: &str = "'01890000-0000-7000-8000-000000000001'";

/// How Postgres goes about a claim, after one was made on this connection.
pub(super) fn plan_of_claim(conn: &mut PgConnection) -> String {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
        line: String,
    }
    let claim = diesel::sql_query(
        "SELECT name AS statement FROM pg_prepared_statements WHERE statement LIKE 'WITH RECURSIVE%'",
    );
    let name = claim.get_result::<Prepared>(conn).unwrap().statement;
    let explain = format!("EXPLAIN EXECUTE {name}({})", CLAIM_VALUES.join(", "));
    let lines: Vec<Line> = diesel::sql_query(explain).load(conn).unwrap();
    lines.into_iter().map(|line| line.line + "\n").collect()
}

#[derive(QueryableByName)]
struct Prepared {
    #[diesel(sql_type = Text)]
    statement: String,
}

/// The verbs' statements as they are, with pgbench's variables in the places of their parameters.
fn same_statements(conn: &mut PgConnection) -> String {
    let claimed = taken(conn, Transport::Email);
    let begun = begin(conn, &claimed);
    assert!(finish(conn, &claimed, Some((&begun, &sent("m"))), &Ended::Sent).unwrap());
    let prepared: Vec<Prepared> = diesel::sql_query(
        "SELECT statement FROM pg_prepared_statements
         WHERE statement LIKE 'WITH RECURSIVE%' OR statement LIKE 'INSERT INTO attempts%' OR statement LIKE 'WITH input%'
         ORDER BY statement LIKE 'WITH RECURSIVE%' DESC, statement",
    )
    .load(conn)
    .unwrap();
    assert_eq!(prepared.len(), 3, "all of them are prepared once");
    let values: [&[&str]; 3] = [
        &CLAIM_VALUES,
        &["'smtp'", "'ada@a.example'", ":c_app_id", ":c_id", ":c_attempt", WORKER],
        &[
            ":c_app_id",
            ":c_id",
            ":c_attempt",
            WORKER,
            ":c_transport",
            "1",
            "'sent'",
            "200",
            "'m'",
            "'{}'",
            "'sent'",
            "NULL",
            "NULL",
            "true",
            "false",
            "false",
        ],
    ];
    let mut script = String::new();
    for (number, (prepared, values)) in prepared.iter().zip(values).enumerate() {
        let mut text = prepared.statement.clone();
        for (n, value) in values.iter().enumerate().rev() {
            text = text.replace(&format!("${}", n + 1), value);
        }
        script += &text;
        script += if number == 0 { "\n\\gset c_\n" } else { ";\n" };
    }
    script
}
