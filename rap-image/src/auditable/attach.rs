//! Sections of a linked ELF program: reading one, and attaching another that is never loaded.
//!
//! Attaching moves the table of sections behind what is there and touches nothing that runs: the new content, the table
//! of names with one more, and the table of sections with one more come last, in this order.
//!
//! Source of the rules: System V ABI, "Sections".

use object::LittleEndian;
use object::elf::{FileHeader64, SHT_PROGBITS};
use object::read::elf::{FileHeader, SectionHeader};

use super::{AuditableError, SECTION};

/// `sizeof(Elf64_Shdr)`.
const ENTRY: usize = 64;
/// Where the file header says where the table of sections is, how many there are, and which has the names.
const E_SHOFF: usize = 0x28;
const E_SHNUM: usize = 0x3c;
const E_SHSTRNDX: usize = 0x3e;
/// The first number of sections that a header cannot say.
const TOO_MANY: usize = 0xff00;

type Header = FileHeader64<LittleEndian>;

/// The program with `content` as its section [`SECTION`].
///
/// # Errors
/// When it is no ELF program, has such a section, or its tables are damaged.
pub fn attach(program: &[u8], content: &[u8]) -> Result<Vec<u8>, AuditableError> {
    if section(program, SECTION)?.is_some() {
        return Err(AuditableError::Twice);
    }
    let damaged = AuditableError::Sections;
    let at = usize_at(program, E_SHOFF, 8).ok_or(damaged)?;
    let count = usize_at(program, E_SHNUM, 2).ok_or(AuditableError::Sections)?;
    let names = usize_at(program, E_SHSTRNDX, 2).ok_or(AuditableError::Sections)?;
    let end = at.saturating_add(count * ENTRY);
    let table = program.get(at..end).ok_or(AuditableError::Sections)?;
    if at < size_of::<Header>() || count + 1 >= TOO_MANY || names >= count {
        return Err(AuditableError::Sections);
    }
    let mut table = table.to_vec();
    let entry = names * ENTRY;
    let old_names = usize_at(&table, entry + 24, 8)
        .zip(usize_at(&table, entry + 32, 8))
        .and_then(|(at, length)| program.get(at..at.checked_add(length)?))
        .ok_or(AuditableError::Sections)?;

    // Linkers put the table of sections at the end: then it makes room for what comes.
    let mut out = program[..if end == program.len() {
        at
    } else {
        end.max(program.len())
    }]
        .to_vec();
    let content_at = out.len();
    out.extend_from_slice(content);
    let names_at = out.len();
    let name = old_names.len();
    out.extend_from_slice(old_names);
    out.extend_from_slice(SECTION.as_bytes());
    out.push(0);
    let names_length = out.len() - names_at;
    out.resize(out.len().next_multiple_of(8), 0);

    put(&mut table, entry + 24, names_at)?;
    put(&mut table, entry + 32, names_length)?;
    let mut new = [0; ENTRY];
    let number = |value: usize| u32::try_from(value).map_err(|_| AuditableError::Sections);
    new[..4].copy_from_slice(&number(name)?.to_le_bytes());
    new[4..8].copy_from_slice(&SHT_PROGBITS.to_le_bytes());
    put(&mut new, 24, content_at)?;
    put(&mut new, 32, content.len())?;
    put(&mut new, 48, 1)?;
    table.extend(new);
    let table_at = out.len();
    put(&mut out, E_SHOFF, table_at)?;
    let count = u16::try_from(count + 1).map_err(|_| AuditableError::Sections)?;
    out[E_SHNUM..E_SHNUM + 2].copy_from_slice(&count.to_le_bytes());
    out.extend(table);
    Ok(out)
}

/// The content of a section; `None` when there is none of that name.
///
/// # Errors
/// When it is no ELF program for this machine's word and byte order, or its tables are damaged.
pub fn section<'a>(program: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, AuditableError> {
    let header = Header::parse(program).map_err(AuditableError::Elf)?;
    let endian = header.endian().map_err(AuditableError::Elf)?;
    let sections = header.sections(endian, program).map_err(AuditableError::Elf)?;
    match sections.section_by_name(endian, name.as_bytes()) {
        Some((_, found)) => Ok(Some(found.data(endian, program).map_err(AuditableError::Elf)?)),
        None => Ok(None),
    }
}

/// The compilers and linkers that say so in section `.comment`, such as `rustc version 1.95.0 (…)`.
///
/// # Errors
/// As [`section`].
pub fn compilers(program: &[u8]) -> Result<Vec<String>, AuditableError> {
    let comment = section(program, ".comment")?.unwrap_or_default();
    let texts = comment.split(|byte| *byte == 0).filter(|text| {
        !text.is_empty() && text.len() <= 256 && text.iter().all(|byte| matches!(byte, 0x20..=0x7e))
    });
    let mut found: Vec<String> = texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// The little-endian number of `width` bytes at `at`.
fn usize_at(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let mut word = [0; 8];
    word[..width].copy_from_slice(bytes.get(at..at.checked_add(width)?)?);
    usize::try_from(u64::from_le_bytes(word)).ok()
}

/// Writes a 64-bit number.
fn put(bytes: &mut [u8], at: usize, value: usize) -> Result<(), AuditableError> {
    let word = (value as u64).to_le_bytes();
    let place = bytes.get_mut(at..at + 8).ok_or(AuditableError::Sections)?;
    place.copy_from_slice(&word);
    Ok(())
}
