//! The migrations, and whether the code's idea of the tables is theirs.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    line: String,
}

fn columns(conn: &mut PgConnection) -> BTreeSet<String> {
    let columns: Vec<Column> = diesel::sql_query(
        "SELECT concat_ws(' ', table_name, column_name, udt_name, is_nullable) AS line \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'",
    )
    .load(conn)
    .unwrap();
    columns.into_iter().map(|column| column.line).collect()
}

/// The same lines from the text of schema.rs.
fn declared() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let (mut table, mut renamed) = (String::new(), None);
    for line in include_str!("../../src/schema.rs").lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
            table = name.to_owned();
        } else if let Some(name) = line.strip_prefix("#[sql_name = \"") {
            renamed = name.strip_suffix("\"]").map(str::to_owned);
        } else if let Some((name, kind)) = line.trim_end_matches(',').split_once(" -> ").filter(|_| line.ends_with(','))
        {
            let inner = kind.strip_prefix("Nullable<").and_then(|kind| kind.strip_suffix('>'));
            let nullable = if inner.is_some() { "YES" } else { "NO" };
            let name = renamed.take().unwrap_or_else(|| name.to_owned());
            let kind = inner.unwrap_or(kind).to_lowercase();
            // Postgres names an array's type after its items'.
            let items = kind.strip_prefix("array<").and_then(|kind| kind.strip_suffix('>'));
            let kind = items.map_or(kind.clone(), |items| format!("_{items}"));
            lines.insert(format!("{table} {name} {kind} {nullable}"));
        }
    }
    lines
}

#[tokio::test]
async fn schema_rs_is_what_the_migrations_make() {
    let db = testkit::database().await;
    let mut conn = PgConnection::establish(&db.url).unwrap();
    assert_eq!(declared(), columns(&mut conn));
}

#[tokio::test]
async fn every_migration_goes_down_and_up_again() {
    let db = testkit::database().await;
    let url = db.url.clone();
    let down_and_up = move || {
        let mut conn = PgConnection::establish(&url).unwrap();
        let before = columns(&mut conn);
        let migrations =
            FileBasedMigrations::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations")).unwrap();
        conn.revert_all_migrations(migrations.clone()).unwrap();
        assert_eq!(columns(&mut conn), BTreeSet::new());
        conn.run_pending_migrations(migrations).unwrap();
        assert_eq!(columns(&mut conn), before);
    };
    tokio::task::spawn_blocking(down_and_up).await.unwrap();
    db.store.migrate().await.unwrap();
}

#[tokio::test]
async fn every_table_says_what_it_is_for() {
    let db = testkit::database().await;
    let mut conn = PgConnection::establish(&db.url).unwrap();
    let silent: Vec<Column> = diesel::sql_query(
        "SELECT relname::text AS line FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
         AND relname NOT LIKE '\\_\\_diesel%' AND obj_description(oid, 'pg_class') IS NULL",
    )
    .load(&mut conn)
    .unwrap();
    assert!(silent.is_empty(), "{}", silent[0].line);
}
