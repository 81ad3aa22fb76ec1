//! What an ELF file needs to run: its interpreter and its shared libraries (System V ABI, dynamic section).

use object::LittleEndian;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

/// The needs of one executable or library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// `PT_INTERP`, e.g. `/lib64/ld-linux-x86-64.so.2`.
    pub interpreter: Option<String>,
    /// `DT_NEEDED`, in order.
    pub libraries: Vec<String>,
    /// `DT_RUNPATH` or `DT_RPATH`, with `$ORIGIN` not yet replaced.
    pub search: Vec<String>,
}

/// Why an ELF file's needs cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It begins as ELF and goes on as something else.
    #[error("a damaged ELF file")]
    Damaged(#[source] object::Error),
    /// For another machine.
    #[error("an ELF file for machine {0}, not x86-64")]
    OtherMachine(u16),
}

/// Whether `content` is an ELF file at all.
#[must_use]
pub fn is_elf(content: &[u8]) -> bool {
    content.starts_with(b"\x7fELF")
}

/// Reads the needs of an ELF file.
///
/// # Errors
/// When it is damaged, or for another machine.
pub fn needs(content: &[u8]) -> Result<Needs, Error> {
    let header = FileHeader64::<LittleEndian>::parse(content).map_err(Error::Damaged)?;
    let endian = header.endian().map_err(Error::Damaged)?;
    let machine = header.e_machine(endian);
    if machine != EM_X86_64 {
        return Err(Error::OtherMachine(machine));
    }
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, content).map_err(Error::Damaged)? {
        if segment.p_type(endian) == PT_INTERP {
            let path = segment.interpreter(endian, content).map_err(Error::Damaged)?;
            needs.interpreter = path.map(|path| String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, content).map_err(Error::Damaged)?;
    let Some((entries, link)) = sections.dynamic(endian, content).map_err(Error::Damaged)? else {
        return Ok(needs);
    };
    let strings = sections.strings(endian, content, link).map_err(Error::Damaged)?;
    for entry in entries {
        let text = || {
            let text = entry.string(endian, strings).map_err(Error::Damaged)?;
            Ok(String::from_utf8_lossy(text).into_owned())
        };
        match entry.tag32(endian) {
            Some(DT_NEEDED) => needs.libraries.push(text()?),
            Some(DT_RUNPATH | DT_RPATH) => needs.search.extend(text()?.split(':').map(str::to_owned)),
            _ => {}
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test program itself: a real executable with real needs.
    #[test]
    fn needs_of_this_program() {
        let content = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&content).unwrap();
        assert_eq!(needs.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(
            needs.libraries.iter().any(|library| library == "libc.so.6"),
            "{needs:?}"
        );
    }

    #[test]
    fn damage_and_other_machines_are_refused() {
        assert!(!is_elf(b"#!/bin/sh"));
        assert!(matches!(needs(b"\x7fELF"), Err(Error::Damaged(_))));
        let mut content = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        content[18] = 183;
        assert!(matches!(needs(&content), Err(Error::OtherMachine(183))));
    }
}
