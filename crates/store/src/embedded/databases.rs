//! Databases of a server, for whoever needs one to themselves, as tests do.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};

use crate::{Error, PgConnection};

/// Makes a database on the server that `url` leads to, as a copy of `template` or empty.
///
/// # Errors
/// The server's: there is one of this name, or somebody is connected to the template.
pub fn create_database(url: &str, name: &str, template: Option<&str>) -> Result<(), Error> {
    run(url, &Create { name, template })
}

/// Drops a database, if it is there, and whoever is connected to it.
///
/// # Errors
/// The server's.
pub fn drop_database(url: &str, name: &str) -> Result<(), Error> {
    run(url, &Drop { name })
}

fn run(url: &str, statement: &(impl QueryFragment<Pg> + QueryId)) -> Result<(), Error> {
    let mut conn = PgConnection::establish(&crate::conninfo::complete(url))?;
    diesel::connection::SimpleConnection::batch_execute(&mut conn, "SET client_min_messages = warning")?;
    conn.execute_returning_count(statement)?;
    Ok(())
}

// Names cannot be bound, only quoted, which `push_identifier` does.
struct Create<'a> {
    name: &'a str,
    template: Option<&'a str>,
}

impl QueryFragment<Pg> for Create<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("CREATE DATABASE ");
        out.push_identifier(self.name)?;
        if let Some(template) = self.template {
            out.push_sql(" TEMPLATE ");
            out.push_identifier(template)?;
        }
        Ok(())
    }
}

impl QueryId for Create<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

struct Drop<'a> {
    name: &'a str,
}

impl QueryFragment<Pg> for Drop<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("DROP DATABASE IF EXISTS ");
        out.push_identifier(self.name)?;
        out.push_sql(" WITH (FORCE)");
        Ok(())
    }
}

impl QueryId for Drop<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
