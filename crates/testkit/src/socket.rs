//! A bare WebSocket that awaits frames.
