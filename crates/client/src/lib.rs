//! client

pub mod bare;
mod tls;
