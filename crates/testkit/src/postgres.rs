//! A private Postgres for a test run.
