//! What is told: a closed list of kinds, each with what it is about.

use serde::{Deserialize, Serialize};

/// The longest name of a parameter (RFC 5424 §6.3.3: 32 characters).
const LONGEST_NAME: usize = 32;
/// The longest value, in bytes.
const LONGEST_VALUE: usize = 256;
/// The longest text for people, in bytes.
const LONGEST_TEXT: usize = 400;
/// The most parameters of one event.
const MOST: usize = 8;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Kind {
    /// The box came up.
    Boot,
    /// The clock was set.
    ClockSet,
    /// Site or identity came from the provision partition.
    Provisioned,
    /// A service ended without being asked to.
    ServiceEnded,
    /// A site is on trial.
    SiteTried,
    /// The site on trial is kept.
    SiteKept,
    /// The site on trial is undone.
    SiteUndone,
    /// Somebody asked a service who may not.
    RequestRefused,
    /// The kernel refused a service a system call.
    CallRefused,
    /// A remote session was asked for, allowed, opened, ended.
    SessionChanged,
    /// The service centre asked for something, and it is done.
    DirectiveTaken,
    /// The service centre asked for something, and it is not done.
    DirectiveRefused,
    /// A person's or an agent's word was not counted.
    ConsentRefused,
    /// A site of the service centre's is kept or undone.
    SettingsChanged,
    /// An update was armed, kept, interrupted, given up, undone.
    UpdateChanged,
    /// A measure of `rapctl hardening` does not hold.
    HardeningFailed,
    /// Records went before they were carried to a copy of the trail.
    CopyGap,
    /// The trail is not the one that was carried to a copy before.
    CopyDiffers,
    /// The oldest records had to go; said by the writer.
    RecordsDropped,
    /// The end of the last file was no record; said by the writer.
    TailCut,
    /// Events were lost before they reached the writer; said by the writer.
    EventsLost,
}

impl Kind {
    /// As in the records (RFC 5424 §6.2.7, MSGID).
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Boot => "BOOT",
            Self::ClockSet => "CLOCK-SET",
            Self::Provisioned => "PROVISIONED",
            Self::ServiceEnded => "SERVICE-ENDED",
            Self::SiteTried => "SITE-TRIED",
            Self::SiteKept => "SITE-KEPT",
            Self::SiteUndone => "SITE-UNDONE",
            Self::RequestRefused => "REQUEST-REFUSED",
            Self::CallRefused => "CALL-REFUSED",
            Self::SessionChanged => "SESSION-CHANGED",
            Self::DirectiveTaken => "DIRECTIVE-TAKEN",
            Self::DirectiveRefused => "DIRECTIVE-REFUSED",
            Self::ConsentRefused => "CONSENT-REFUSED",
            Self::SettingsChanged => "SETTINGS-CHANGED",
            Self::UpdateChanged => "UPDATE-CHANGED",
            Self::HardeningFailed => "HARDENING-FAILED",
            Self::CopyGap => "COPY-GAP",
            Self::CopyDiffers => "COPY-DIFFERS",
            Self::RecordsDropped => "RECORDS-DROPPED",
            Self::TailCut => "TAIL-CUT",
            Self::EventsLost => "EVENTS-LOST",
        }
    }

    /// RFC 5424 §6.2.1: error (3) for a trail that somebody changed, warning (4) for what nobody wants, notice (5) for the
    /// rest.
    fn severity(self) -> u8 {
        match self {
            Self::CopyDiffers => 3,
            Self::Boot | Self::ClockSet | Self::Provisioned => 5,
            Self::SiteTried | Self::SiteKept | Self::SiteUndone => 5,
            Self::SessionChanged | Self::DirectiveTaken | Self::SettingsChanged | Self::UpdateChanged => 5,
            _ => 4,
        }
    }

    /// Whether only the writer says so.
    pub(super) fn is_the_writers(self) -> bool {
        matches!(self, Self::RecordsDropped | Self::TailCut | Self::EventsLost)
    }
}

/// Something that happened. Bounded: what is too long is cut when it is made or taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub(super) kind: Kind,
    pub(super) about: Vec<(String, String)>,
    pub(super) text: String,
    /// How many before it could not be told.
    #[serde(default)]
    pub(super) lost: u64,
}

impl Event {
    /// Something of this kind, in words for people.
    #[must_use]
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            about: Vec::new(),
            text: text.into(),
            lost: 0,
        }
    }

    /// With a parameter more; `name` is lower-case letters, digits and `-`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.about.push((name.to_owned(), value.to_string()));
        self
    }

    /// As its kind's; but an update that did not come to its end is a warning.
    pub(super) fn severity(&self) -> u8 {
        let what = self.about.iter().find(|(name, _)| name == "what");
        match (self.kind, what.map(|(_, value)| value.as_str())) {
            (Kind::UpdateChanged, Some("interrupted" | "given up" | "rolled back")) => 4,
            (kind, _) => kind.severity(),
        }
    }

    /// As it may be written, whoever made it.
    pub(super) fn bounded(mut self) -> Self {
        let is_name = |name: &str| {
            let clean = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(clean)
        };
        self.about.retain(|(name, _)| is_name(name));
        self.about.truncate(MOST);
        for (_, value) in &mut self.about {
            value.truncate(value.floor_char_boundary(LONGEST_VALUE));
        }
        self.text.truncate(self.text.floor_char_boundary(LONGEST_TEXT));
        self
    }
}
