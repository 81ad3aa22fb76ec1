//! What the whole-system tests are made of: the service centre, an update repository's server, instruments, keys for them,
//! proxies, a network that fails, a disk that forgets, a real browser; the demonstration, the measurements and the long
//! searches.

pub mod bench;
pub mod browser;
pub mod centre;
pub mod collector;
pub mod cuts;
pub mod demo;
pub mod directing;
pub mod fault;
pub mod instrument;
pub mod keys;
pub mod loop_device;
pub mod nginx;
pub mod proxy;
pub mod random;
pub mod releases;
pub mod remote;
pub mod repository;
pub mod system;
pub mod updates;
pub mod volatile;
