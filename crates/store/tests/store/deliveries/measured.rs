//! How fast the queue is, beside pgbench running the same statements.

use super::*;
