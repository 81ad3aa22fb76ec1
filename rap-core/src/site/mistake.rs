//! What is wrong with a `site.toml`: where, what stood there, what should, and how to mend it.

use std::fmt;
use std::path::PathBuf;

/// The kind of a [`Mistake`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The file cannot be read.
    Unreadable,
    /// It is not TOML.
    Syntax,
    /// `version` is none this program knows.
    Version,
    /// A field that must be there is not.
    Missing,
    /// A field nobody knows.
    Unknown,
    /// A value of another type, such as a number for a text.
    Type,
    /// A value that breaks its own rule.
    Invalid,
    /// A value that may be used once and is used again.
    Duplicate,
    /// A value that contradicts another field.
    Conflict,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Its kind.
    pub fault: Fault,
    /// The line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 when the whole file is meant.
    pub column: usize,
    /// The field, such as `port[2].address`; empty when none is meant.
    pub field: String,
    /// What stood there.
    pub found: String,
    /// What would have been right.
    pub expected: String,
    /// What to do.
    pub fix: String,
}

/// Every mistake of one file, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The mistakes.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        if !self.fix.is_empty() {
            write!(f, "\n    fix: {}", self.fix)?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for mistake in &self.list {
            if mistake.line == 0 {
                writeln!(f, "{file}: {mistake}")?;
            } else {
                writeln!(f, "{file}:{}:{}: {mistake}", mistake.line, mistake.column)?;
            }
        }
        let plural = if self.list.len() == 1 { "" } else { "s" };
        write!(f, "{file}: {} mistake{plural}", self.list.len())
    }
}

impl std::error::Error for Mistakes {}
