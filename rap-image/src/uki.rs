//! The one file that boots: systemd's stub with the kernel, the command line and the initramfs as further sections
//! (UAPI.5, "Unified Kernel Image").
//!
//! Sections lie at multiples of 4096 both in memory and in the file, without a gap and without anything after the
//! last: a gap changes the Authenticode hash between tools, and 512-byte alignment trips an assertion of OVMF's
//! Secure Boot. What was written is parsed again and held against that.
//!
//! Source of the rules: Microsoft's "PE Format" and "Windows Authenticode Portable Executable Signature Format".

use std::ops::Range;

use rap_core::digest::{Hasher, Sha256};

const ALIGNMENT: usize = 4096;
const SECTION_HEADER: usize = 40;
/// Initialised data, readable (`IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`).
const READABLE_DATA: u32 = 0x4000_0040;

/// Why a UKI cannot be made or read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UkiError {
    /// Not a PE32+ file.
    #[error("not a PE32+ program: {0}")]
    NotPe(&'static str),
    /// No room for more section headers.
    #[error("the stub's headers end at {headers_end} and have no room for {wanted} more sections")]
    NoRoom {
        /// Where its headers end.
        headers_end: usize,
        /// How many sections were to be added.
        wanted: usize,
    },
    /// A section's place breaks a rule above.
    #[error("section `{section}` {broken}")]
    Layout {
        /// Its name.
        section: String,
        /// What is wrong with it.
        broken: &'static str,
    },
    /// A section is missing.
    #[error("no section `{0}`: this is no unified kernel image")]
    Missing(&'static str),
    /// The file is shorter or longer than its headers say.
    #[error(
        "the file has {found} bytes, its headers say {expected}: it was cut off or something was appended"
    )]
    Size {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Larger than a PE file can be.
    #[error("a program of {0} bytes is larger than PE can describe")]
    TooLarge(usize),
}

/// What becomes the sections of a UKI.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// systemd's stub.
    pub stub: &'a [u8],
    /// The content of `os-release`.
    pub os_release: &'a str,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// The kernel's release, as `uname -r` will say.
    pub kernel_version: &'a str,
    /// The kernel.
    pub kernel: &'a [u8],
    /// The initramfs.
    pub initramfs: &'a [u8],
}

/// One section of a parsed program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name, e.g. `.linux`.
    pub name: String,
    /// Bytes from the file's beginning, whole.
    pub raw: Range<usize>,
    /// Address it is loaded to.
    pub address: usize,
    /// Bytes that have a meaning.
    pub virtual_size: usize,
}

/// Composes a UKI and checks it.
///
/// # Errors
/// When the stub is no PE32+ program, its headers have no room, or the result breaks a rule.
pub fn compose(ingredients: &Ingredients<'_>) -> Result<Vec<u8>, UkiError> {
    let added: [(&str, &[u8]); 5] = [
        (".osrel", ingredients.os_release.as_bytes()),
        (".cmdline", ingredients.command_line.as_bytes()),
        (".uname", ingredients.kernel_version.as_bytes()),
        (".linux", ingredients.kernel),
        (".initrd", ingredients.initramfs),
    ];
    let stub = Program::parse(ingredients.stub)?;
    let bytes = stub.with_sections(&added)?;
    let uki = Program::parse(&bytes)?;
    uki.check()?;
    for (name, content) in added {
        if uki.content(name) != Some(content) {
            return Err(UkiError::Layout {
                section: name.to_owned(),
                broken: "is not what was put in",
            });
        }
    }
    Ok(bytes)
}

/// The image `uki` with a further word on its command line and a further archive behind its initramfs, not signed.
///
/// # Errors
/// When it is no UKI, or the result breaks a rule.
pub fn extended(uki: &[u8], word: &str, archive: &[u8]) -> Result<Vec<u8>, UkiError> {
    let program = Program::parse(uki)?;
    let text = |name| -> Result<&str, UkiError> {
        std::str::from_utf8(program.required(name)?).map_err(|_| UkiError::Layout {
            section: String::from(name),
            broken: "is no text",
        })
    };
    let stub_sections = program
        .sections
        .iter()
        .position(|section| section.name == ".osrel");
    let count = stub_sections.ok_or(UkiError::Missing(".osrel"))?;
    let stub = Program {
        bytes: uki,
        pe: program.pe,
        sections: program.sections[..count].to_vec(),
    }
    .with_sections(&[])?;
    compose(&Ingredients {
        stub: &stub,
        os_release: text(".osrel")?,
        command_line: &format!("{} {word}", text(".cmdline")?),
        kernel_version: text(".uname")?,
        kernel: program.required(".linux")?,
        initramfs: &[program.required(".initrd")?, archive].concat(),
    })
}

/// A parsed PE32+ program.
#[derive(Debug)]
pub struct Program<'a> {
    bytes: &'a [u8],
    /// Offset of the COFF header's signature.
    pe: usize,
    /// Its sections, in the order of their headers.
    pub sections: Vec<Section>,
}

impl<'a> Program<'a> {
    /// Parses a program.
    ///
    /// # Errors
    /// When it is no PE32+ program or a section lies outside of the file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UkiError> {
        if bytes.get(..2) != Some(b"MZ") {
            return Err(UkiError::NotPe("it does not begin with MZ"));
        }
        let cut = UkiError::NotPe("it ends within its headers");
        let pe = number(bytes, 0x3c, 4).ok_or(cut)?;
        let field = |at: usize, width| number(bytes, pe.saturating_add(at), width);
        let missing = || UkiError::NotPe("it ends within its headers");
        if bytes.get(pe..pe.saturating_add(4)) != Some(b"PE\0\0") || field(24, 2) != Some(0x20b) {
            return Err(UkiError::NotPe("no PE32+ header"));
        }
        let count = field(6, 2).ok_or_else(missing)?;
        let first = pe + 24 + field(20, 2).ok_or_else(missing)?;
        let sections = (0..count)
            .map(|index| section(bytes, first + index * SECTION_HEADER).ok_or_else(missing))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(end) = sections
            .iter()
            .map(|section| section.raw.end)
            .max()
            .filter(|&end| end > bytes.len())
        {
            return Err(UkiError::Size {
                found: bytes.len(),
                expected: end,
            });
        }
        let program = Self { bytes, pe, sections };
        let headers_end = program.security_entry() + 8;
        if headers_end > bytes.len() {
            return Err(missing());
        }
        let signature = program.signature();
        if !signature.is_empty() && signature.start < headers_end {
            return Err(UkiError::NotPe("its signature lies over its headers"));
        }
        Ok(program)
    }

    /// A section's meaningful bytes.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        let length = section.virtual_size.min(section.raw.len());
        self.bytes.get(section.raw.start..section.raw.start + length)
    }

    /// As [`Program::content`], for a section a UKI must have.
    ///
    /// # Errors
    /// [`UkiError::Missing`].
    pub fn required(&self, name: &'static str) -> Result<&'a [u8], UkiError> {
        self.content(name).ok_or(UkiError::Missing(name))
    }

    /// Holds the program against this module's rules.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), UkiError> {
        let mut raw_end = self.headers_size();
        let mut address_end = raw_end;
        for section in &self.sections {
            let broken = if section.raw.start % ALIGNMENT != 0 || section.raw.len() % ALIGNMENT != 0 {
                "does not lie at multiples of 4096 in the file"
            } else if section.address % ALIGNMENT != 0 || section.address < address_end {
                "is loaded over another or not at a multiple of 4096"
            } else if section.raw.start != raw_end {
                "does not follow the one before it without a gap"
            } else {
                raw_end = section.raw.end;
                address_end = section.address + section.virtual_size;
                continue;
            };
            return Err(UkiError::Layout {
                section: section.name.clone(),
                broken,
            });
        }
        if self.field(80, 4) != address_end.next_multiple_of(ALIGNMENT) {
            return Err(UkiError::NotPe(
                "its SizeOfImage is not the end of its last section",
            ));
        }
        let expected = raw_end + self.signature().len();
        if self.bytes.len() == expected {
            Ok(())
        } else {
            Err(UkiError::Size {
                found: self.bytes.len(),
                expected,
            })
        }
    }

    /// The Authenticode SHA-256: over everything but the checksum, the signature's directory entry and the signature.
    #[must_use]
    pub fn authenticode(&self) -> Sha256 {
        let checksum = self.pe + 24 + 64;
        let entry = self.security_entry();
        let end = self.bytes.len() - self.signature().len();
        let mut hash = Hasher::new();
        hash.update(&self.bytes[..checksum]);
        hash.update(&self.bytes[checksum + 4..entry]);
        hash.update(&self.bytes[entry + 8..end]);
        // The signature's place is padded to a multiple of 8 before it is attached.
        hash.update(&[0_u8; 8][..end.next_multiple_of(8) - end]);
        hash.finish()
    }

    /// Whether a signature is attached.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        !self.signature().is_empty()
    }

    /// The attached `WIN_CERTIFICATE`; empty when there is none.
    #[must_use]
    pub fn signature_bytes(&self) -> &'a [u8] {
        &self.bytes[self.signature()]
    }

    fn signature(&self) -> Range<usize> {
        let entry = self.security_entry();
        let start = number(self.bytes, entry, 4).unwrap_or(0).min(self.bytes.len());
        let length = number(self.bytes, entry + 4, 4).unwrap_or(0);
        start..start.saturating_add(length).min(self.bytes.len())
    }

    /// The certificate table is the fifth data directory; in PE32+ they begin 112 bytes into the optional header.
    pub(crate) fn security_entry(&self) -> usize {
        self.pe + 24 + 112 + 4 * 8
    }

    fn headers_size(&self) -> usize {
        self.field(84, 4)
    }

    fn field(&self, at: usize, width: usize) -> usize {
        number(self.bytes, self.pe + at, width).unwrap_or(0)
    }

    /// This program laid out anew, with sections added after its own.
    fn with_sections(&self, added: &[(&str, &[u8])]) -> Result<Vec<u8>, UkiError> {
        let old_table = self.pe + 24 + self.field(20, 2);
        let table_end = old_table + (self.sections.len() + added.len()) * SECTION_HEADER;
        let first_raw = self
            .sections
            .iter()
            .map(|section| section.raw.start)
            .min()
            .unwrap_or(0);
        if table_end > first_raw {
            return Err(UkiError::NoRoom {
                headers_end: first_raw,
                wanted: added.len(),
            });
        }
        let headers_size = table_end.next_multiple_of(ALIGNMENT);
        let mut out = self.bytes[..first_raw].to_vec();
        out.resize(headers_size, 0);
        // Whoever signed it did not sign what comes of it; and headers of sections that are left out leave no trace.
        let entry = self.security_entry();
        out[entry..entry + 8].fill(0);
        let (kept, all) = (self.sections.len(), self.field(6, 2));
        out[old_table + kept * SECTION_HEADER..old_table + all * SECTION_HEADER].fill(0);
        let mut address_end = 0;
        for (index, section) in self.sections.iter().enumerate() {
            let header = old_table + index * SECTION_HEADER;
            let at = append(&mut out, &self.bytes[section.raw.clone()]);
            put(&mut out, header + 16, at.len())?;
            put(&mut out, header + 20, at.start)?;
            address_end = section.address + section.virtual_size;
        }
        for (index, (name, content)) in added.iter().enumerate() {
            let header = old_table + (self.sections.len() + index) * SECTION_HEADER;
            let address = address_end.next_multiple_of(ALIGNMENT);
            let at = append(&mut out, content);
            out[header..header + SECTION_HEADER].fill(0);
            out[header..header + name.len()].copy_from_slice(name.as_bytes());
            for (offset, value) in [(8, content.len()), (12, address), (16, at.len()), (20, at.start)] {
                put(&mut out, header + offset, value)?;
            }
            out[header + 36..header + 40].copy_from_slice(&READABLE_DATA.to_le_bytes());
            address_end = address + content.len();
        }
        let sections =
            u16::try_from(self.sections.len() + added.len()).map_err(|_| UkiError::TooLarge(out.len()))?;
        out[self.pe + 6..self.pe + 8].copy_from_slice(&sections.to_le_bytes());
        // SectionAlignment, FileAlignment, SizeOfImage, SizeOfHeaders, CheckSum
        let fields = [
            (56, ALIGNMENT),
            (60, ALIGNMENT),
            (80, address_end.next_multiple_of(ALIGNMENT)),
            (84, headers_size),
            (88, 0),
        ];
        for (offset, value) in fields {
            put(&mut out, self.pe + offset, value)?;
        }
        Ok(out)
    }
}

/// Appends a section's bytes, filled up to the alignment; returns where they are.
fn append(out: &mut Vec<u8>, content: &[u8]) -> Range<usize> {
    let start = out.len();
    out.extend(content);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    start..out.len()
}

fn put(out: &mut [u8], at: usize, value: usize) -> Result<(), UkiError> {
    let value = u32::try_from(value).map_err(|_| UkiError::TooLarge(value))?;
    out[at..at + 4].copy_from_slice(&value.to_le_bytes());
    Ok(())
}

fn section(bytes: &[u8], header: usize) -> Option<Section> {
    let name = bytes.get(header..header + 8)?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(8);
    let field = |at: usize| number(bytes, header + at, 4);
    let start = field(20)?;
    Some(Section {
        name: String::from_utf8_lossy(&name[..end]).into_owned(),
        raw: start..start + field(16)?,
        address: field(12)?,
        virtual_size: field(8)?,
    })
}

/// A little-endian number of 2 or 4 bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | usize::from(byte)),
    )
}

#[cfg(test)]
pub(crate) mod tests;
