//! The forwarder as its own process on a disk that forgets, and campaigns of power cuts against it.
//!
//! [`World`] is a box's forwarder and relay, the real programs, in a network namespace of their own, with the log on a
//! [`Volatile`](crate::volatile::Volatile) disk, and a service centre that outlives every cut. [`round()`] lets agents
//! post while the power goes again and again, and says whether what was acknowledged arrived ([`Verdict`]). [`guest()`]
//! does the same to the whole box in QEMU.

mod agent;
mod guest;
mod round;
mod verdict;
mod world;

pub use self::agent::{Crew, Told};
pub use self::guest::{Guest, guest};
pub use self::round::{Round, round};
pub use self::verdict::{Arrived, Verdict};
pub use self::world::{PORTS, Places, Setup, World};
