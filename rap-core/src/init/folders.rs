//! The services' folders, on the data partition and below `/run`: whose each is, and which group reaches it.
//!
//! A socket is reached by the group of its folder: what a service makes in a folder with the set-group-ID bit has the
//! folder's group, and a service could give it to no other.

use std::path::Path;

use super::durable::{self, Owner};
use super::stages::user_of;
use super::{Below, InitError, consume, made};
use crate::paths;

/// Makes them, and says who reads what of the identity.
///
/// # Errors
/// When the disk does not work, or the image lacks a user.
pub(super) fn make(data: &Below) -> Result<consume::Readers, InitError> {
    let owner = |service| user_of(service).map(|(_, owner)| owner);
    let (forward, sessions, web) = (owner("forward")?, owner("session")?, owner("web")?);
    let (update, trail) = (owner("update")?, owner("trail")?);
    durable::directory(&data.forward, 0o700, Some(forward))?;
    let readers_of_made = made::Readers {
        forward: forward.group,
        web: web.group,
        sessions: sessions.group,
    };
    made::folders(data, owner("identity")?, readers_of_made)?;
    durable::directory(&data.session, 0o700, Some(sessions))?;
    durable::directory(&data.update, 0o750, Some(update))?;
    durable::directory(&data.trail, 0o700, Some(trail))?;
    durable::directory(Path::new(paths::UPDATE_RUNTIME), 0o755, Some(update))?;
    // Each is asked by who has the group.
    for (folder, asked, by) in [
        (paths::SESSION_RUN, sessions, forward),
        (paths::CONSENT_RUN, sessions, web),
        (paths::NETD_SESSIONS_RUN, owner("netd")?, sessions),
        (paths::UPDATE_ASK_RUN, update, sessions),
        (paths::TRAIL_RUN, trail, forward),
        // Who carries the trail away has the group of the keys, which is the forwarder's.
        (paths::AUDIT_RECORDS_RUN, owner("audit")?, forward),
    ] {
        let shared = Owner {
            group: by.group,
            ..asked
        };
        durable::directory(Path::new(folder), 0o2750, Some(shared))?;
    }
    // The keys for the forwarder's group, the passwords for the relay's: nobody else's.
    Ok(consume::Readers {
        keys: Owner { user: 0, ..forward },
        // Two services show themselves to the instruments with it.
        server: Owner {
            user: web.user,
            ..forward
        },
        passwords: Owner {
            user: 0,
            ..owner("relay")?
        },
        sessions: Owner { user: 0, ..sessions },
    })
}
