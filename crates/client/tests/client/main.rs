//! A client against servers that the tests play, over real sockets.

mod connection;
mod peer;
mod rooms;
