//! What rooms look like to a member.
