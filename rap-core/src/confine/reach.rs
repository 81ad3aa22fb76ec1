//! The files and TCP ports a service may touch, as a Landlock ruleset (Linux `Documentation/userspace-api/landlock.rst`).
//!
//! The kernel in the image knows ABI 6 (Linux 6.12): files, truncation, device ioctls, TCP ports, and no signals or
//! abstract sockets to anybody outside. On another kernel, a desk's, what it does not know is left out; without any
//! Landlock nothing is started.

use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope, path_beneath_rules,
};

use super::table::{Access, Needs, Port};
use super::{ConfineError, Reach};

/// What is said about; a right that is not in it is not restricted.
const KNOWN: ABI = ABI::V6;

/// The ruleset for a service, with paths below `root`. `also` is for tests, whose program lies elsewhere.
pub(super) fn ruleset(needs: &Needs, root: &Path, also: &[Reach]) -> Result<OwnedFd, ConfineError> {
    let rules = || {
        // Nothing outside is signalled, and no abstract socket of others is connected to.
        let mut ruleset = Ruleset::default().scope(Scope::from_all(KNOWN))?;
        if needs.files.is_some() {
            ruleset = ruleset.handle_access(AccessFs::from_all(KNOWN))?;
        }
        let ports = ports(needs);
        if !ports.is_empty() {
            ruleset = ruleset.handle_access(ports)?;
        }
        let mut ruleset = ruleset.create()?;
        let files = needs.files.unwrap_or_default();
        let also = if needs.files.is_some() { also } else { &[] };
        for (root, reach) in files
            .iter()
            .map(|reach| (root, reach))
            .chain(also.iter().map(|reach| (Path::new("/"), reach)))
        {
            let path = root.join(reach.path.trim_start_matches('/'));
            ruleset = ruleset.add_rules(path_beneath_rules([path], rights(reach.access)))?;
        }
        for (port, access) in [
            (needs.binds, AccessNet::BindTcp),
            (needs.connects, AccessNet::ConnectTcp),
        ] {
            if let Port::Only(ports) = port {
                ruleset = ruleset.add_rules(
                    ports
                        .iter()
                        .map(|port| Ok::<_, landlock::RulesetError>(NetPort::new(*port, access))),
                )?;
            }
        }
        Ok(ruleset)
    };
    let ruleset = rules().map_err(|source| ConfineError::Reach {
        service: needs.service,
        source,
    })?;
    let descriptor: Option<OwnedFd> = ruleset.into();
    descriptor.ok_or(ConfineError::NoLandlock {
        service: needs.service,
    })
}

/// What is said about ports. The one that is `Any` is not restricted.
fn ports(needs: &Needs) -> BitFlags<AccessNet> {
    let mut handled = BitFlags::empty();
    if needs.binds != Port::Any {
        handled |= AccessNet::BindTcp;
    }
    if needs.connects != Port::Any {
        handled |= AccessNet::ConnectTcp;
    }
    handled
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    match access {
        Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Access::Execute => AccessFs::ReadFile | AccessFs::Execute,
        Access::Write => {
            AccessFs::ReadFile
                | AccessFs::ReadDir
                | AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                // Where a service is asked.
                | AccessFs::MakeSock
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
        }
        Access::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
    }
}
