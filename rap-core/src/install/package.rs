//! What an installer writes: the bytes that each partition begins with, one after another, as one zstd frame.
//!
//! How many bytes are whose says the [`Order`]; so does the package's SHA-256, which is compared before anybody is asked.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::boot::disk::{Place, Table};
use crate::digest::{Hasher, Sha256};
use crate::flash::Source;

use super::Order;

/// How hard it is compressed; a harder one makes the medium a tenth smaller and takes five times as long.
const LEVEL: i32 = 12;
/// The decoder's window: 2^27 bytes, which is what levels without `--ultra` never pass.
const WINDOW_LOG: u32 = 27;
/// What is read at once.
const BLOCK: usize = 1 << 20;

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It cannot be read.
    #[error("cannot read {0}: too little memory, or a medium that was not written completely")]
    Read(PathBuf, #[source] io::Error),
    /// It is not the one that was ordered.
    #[error(
        "the image on this medium is damaged (SHA-256 {found} instead of {wanted}): write the medium anew"
    )]
    Damaged {
        /// As the order says.
        wanted: Sha256,
        /// As found.
        found: Sha256,
    },
}

/// A package of a fresh image, checked.
#[derive(Debug)]
pub struct Package {
    path: PathBuf,
    table: Table,
    used: [u64; 5],
}

impl Package {
    /// The package at `path`; it is read once to compare its digest, and `feed` is called for each piece of it.
    ///
    /// # Errors
    /// When it cannot be read or is not the one that was ordered.
    pub fn open(path: &Path, order: &Order, feed: &dyn Fn()) -> Result<Self, PackageError> {
        let failed = |source| PackageError::Read(path.to_owned(), source);
        let mut file = File::open(path).map_err(failed)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; BLOCK];
        loop {
            feed();
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        let (wanted, found) = (order.package, hasher.finish());
        if found != wanted {
            return Err(PackageError::Damaged { wanted, found });
        }
        Ok(Self {
            path: path.to_owned(),
            table: Table::fresh(),
            used: order.used,
        })
    }
}

impl Source for Package {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn table(&self) -> &Table {
        &self.table
    }

    fn used(&self, place: Place) -> u64 {
        self.used[place as usize]
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let mut decoder = zstd::Decoder::with_buffer(BufReader::new(File::open(&self.path)?))?;
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Box::new(decoder))
    }
}

/// The package of `image`. The same image gives the same bytes.
///
/// # Errors
/// When the image cannot be read.
pub fn pack(image: &impl Source) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(&mut image.open()?, &mut encoder)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with something in each partition.
    struct Made(Table, [u64; 5]);

    fn made() -> Made {
        Made(Table::fresh(), [3 << 20, 70_000, 0, 12, 1])
    }

    impl Source for Made {
        fn name(&self) -> String {
            "made".to_owned()
        }

        fn table(&self) -> &Table {
            &self.0
        }

        fn used(&self, place: Place) -> u64 {
            self.1[place as usize]
        }

        fn open(&self) -> io::Result<Box<dyn Read + '_>> {
            let bytes: u64 = self.1.iter().sum();
            Ok(Box::new(
                (0..bytes)
                    .map(|n| n.to_le_bytes()[1])
                    .collect::<std::collections::VecDeque<u8>>(),
            ))
        }
    }

    fn order(image: &Made, package: &[u8]) -> Order {
        Order {
            unattended: false,
            replace: false,
            package: Sha256::of(package),
            used: image.1,
        }
    }

    #[test]
    fn a_package_gives_back_what_was_packed_as_often_as_it_is_asked() {
        let image = made();
        let packed = pack(&image).unwrap();
        assert_eq!(packed, pack(&image).unwrap());
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("package");
        std::fs::write(&path, &packed).unwrap();
        let package = Package::open(&path, &order(&image, &packed), &|| ()).unwrap();
        for place in Place::ALL {
            assert_eq!(package.used(place), image.used(place));
        }
        let all = |source: &dyn Source| {
            let mut bytes = Vec::new();
            source.open().unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert!(all(&package) == all(&image));
        assert!(all(&package) == all(&image));
    }

    #[test]
    fn a_package_that_lost_a_bit_or_its_end_is_refused_before_it_is_used() {
        let image = made();
        let packed = pack(&image).unwrap();
        let order = order(&image, &packed);
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("package");
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 1;
        for damaged in [&flipped[..], &packed[..packed.len() - 1], &[]] {
            std::fs::write(&path, damaged).unwrap();
            let error = Package::open(&path, &order, &|| ()).unwrap_err();
            assert!(matches!(error, PackageError::Damaged { .. }), "{error}");
        }
        let error = Package::open(&place.path().join("none"), &order, &|| ()).unwrap_err();
        assert!(matches!(error, PackageError::Read(..)), "{error}");
    }
}
