//! The pieces of a release on their way to being complete: each is checked, made durable, and kept over power cuts.
