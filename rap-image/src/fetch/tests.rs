//! What a server may do to a fetch.
