//! Where the machine's UEFI firmware (OVMF) comes from.
//!
//! The product's comes from the image's lock, so that the lab does not depend on the host; a directory of the
//! host's own may be named instead.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// OVMF: the code, shared and read-only, and the template of the variables, copied for each machine.
///
/// Its build for Secure Boot guards the variables by system management mode and starts in setup mode when they are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The code's flash image.
    pub code: PathBuf,
    /// The flash image of the code that knows Secure Boot, where there is one.
    pub secure_code: Option<PathBuf>,
    /// The variables' flash image, empty of entries.
    pub vars: PathBuf,
}

impl Firmware {
    /// Finds `OVMF_CODE.fd` and `OVMF_VARS.fd` in the image directory's `ovmf`, else (with `RAP_OVMF` set) there,
    /// else where Debian's package `ovmf` puts its 4 MiB build.
    ///
    /// # Errors
    /// When there is none, with the two ways to get one.
    pub fn find(image: &Path) -> Result<Self> {
        let named = std::env::var_os("RAP_OVMF").map(PathBuf::from);
        let candidates = named
            .into_iter()
            .chain([image.join("ovmf"), PathBuf::from("/usr/share/OVMF")]);
        for directory in candidates {
            for suffix in ["", "_4M"] {
                let code = directory.join(format!("OVMF_CODE{suffix}.fd"));
                let vars = directory.join(format!("OVMF_VARS{suffix}.fd"));
                if code.is_file() && vars.is_file() {
                    let secure_code = directory.join(format!("OVMF_CODE{suffix}.secboot.fd"));
                    return Ok(Self {
                        code,
                        secure_code: Some(secure_code).filter(|path| path.is_file()),
                        vars,
                    });
                }
            }
        }
        Err(Error::Setting(format!(
            "no UEFI firmware in {}; build the image first (rap-image build), or set RAP_OVMF to a directory with \
             OVMF_CODE.fd and OVMF_VARS.fd",
            image.join("ovmf").display()
        )))
    }
}
