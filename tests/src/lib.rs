//! What the whole-system tests are made of: the service centre, an update repository's server, instruments, keys for them, proxies, a network that
//! fails, a disk that forgets; the demonstration, the measurements and the long searches.

pub mod bench;
pub mod centre;
pub mod cuts;
pub mod demo;
pub mod fault;
pub mod instrument;
pub mod keys;
pub mod nginx;
pub mod proxy;
pub mod random;
pub mod repository;
pub mod system;
pub mod volatile;
