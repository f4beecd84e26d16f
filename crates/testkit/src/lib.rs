//! What tests stand on: a database each, sockets that await frames. Only ever a dev-dependency.

mod postgres;
mod socket;

pub use postgres::*;
pub use socket::*;
