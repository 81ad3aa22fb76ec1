//! `/etc/passwd`: the numbers of the services' users (passwd(5)).

use std::path::Path;

use super::InitError;
use super::durable::Owner;
use crate::control::Guest;

/// Finds `name` in the text of a passwd file.
pub(crate) fn find(passwd: &str, name: &str) -> Option<Owner> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Owner { user, group })
    })
}

/// Finds `name` in `/etc/passwd`.
///
/// # Errors
/// When it is not there: the image is not complete.
pub(crate) fn lookup(name: &str) -> Result<Owner, InitError> {
    let passwd = Path::new("/etc/passwd");
    let text = std::fs::read_to_string(passwd).map_err(|source| InitError::Read {
        path: passwd.to_owned(),
        source,
    })?;
    find(&text, name).ok_or_else(|| InitError::NoUser {
        name: name.to_owned(),
    })
}

/// `name` as a guest at a control socket; none where there is no such user, as on a desk.
pub(crate) fn guest(name: &str) -> Option<Guest> {
    let Owner { user, group } = lookup(name).ok()?;
    Some(Guest { user, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/:/none\nrap-forward-2:x:7:7::/:\nrap-forward:x:801:802::/:\nbad:x:y:1::/:\n";
        let owner = find(passwd, "rap-forward").unwrap();
        assert_eq!((owner.user, owner.group), (801, 802));
        assert!(find(passwd, "rap").is_none() && find(passwd, "bad").is_none());
    }
}
