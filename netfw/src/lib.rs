//! A description of ports in, an isolated and firewalled network out, through netlink.
//!
//! netfw knows nothing of the appliance it was made for. Data flows one way: [`model`] → plan (pure) → kernel.

pub mod model;
