//! Picking from fabricated packages.
