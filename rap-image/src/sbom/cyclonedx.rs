//! CycloneDX 1.6 in JSON, as far as we write it (ECMA-424; <https://cyclonedx.org/docs/1.6/json/>).

use rap_core::digest::Sha256;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const SCHEMA: &str = "http://cyclonedx.org/schema/bom-1.6.schema.json";
const FORMAT: &str = "CycloneDX";
const SPECIFICATION: &str = "1.6";

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bom {
    #[serde(rename = "$schema")]
    schema: String,
    bom_format: String,
    spec_version: String,
    serial_number: String,
    version: u32,
    /// What it is about, and who made it.
    pub metadata: Metadata,
    /// The parts, by reference.
    pub components: Vec<Component>,
    /// Which part needs which.
    pub dependencies: Vec<Dependency>,
    /// How far the document claims to be complete.
    pub compositions: Vec<Composition>,
}

/// What a document is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// RFC 3339.
    pub timestamp: String,
    /// Who made it.
    pub tools: Tools,
    /// The whole.
    pub component: Component,
}

/// Programs that made a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// The programs.
    pub components: Vec<Component>,
}

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program.
    Application,
    /// Something that is linked.
    Library,
    /// The kernel, or the whole image.
    OperatingSystem,
    /// What runs before the kernel.
    Firmware,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its name in this document.
    #[serde(rename = "bom-ref")]
    pub bom_ref: String,
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Digests of what it came in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    /// Its licences: one expression, or one name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<Licence>,
    /// Its package URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// A digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    alg: String,
    /// Hexadecimal.
    pub content: String,
}

/// A licence choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Licence {
    /// An SPDX expression.
    Expression(String),
    /// A name.
    License(Named),
}

/// A licence that has no more than a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    name: String,
}

/// A name and a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// What one part needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The part's reference.
    #[serde(rename = "ref")]
    pub of: String,
    /// The needed parts' references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// How much of something the document has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// How much.
    pub aggregate: Aggregate,
    /// Of these parts' parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assemblies: Vec<String>,
    /// Of these parts' needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
}

/// Whether something is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// It is.
    Complete,
    /// It is not said.
    Unknown,
}

/// A property.
pub(super) fn property(name: &str, value: &str) -> Property {
    Property {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

impl Bom {
    pub(super) fn new(
        metadata: Metadata,
        components: Vec<Component>,
        dependencies: Vec<Dependency>,
        compositions: Vec<Composition>,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            bom_format: FORMAT.to_owned(),
            spec_version: SPECIFICATION.to_owned(),
            serial_number: String::new(),
            version: 1,
            metadata,
            components,
            dependencies,
            compositions,
        }
    }

    /// Gives it the serial number that follows from everything else in it: a UUID of version 8 (RFC 9562 §5.8).
    pub(super) fn number(&mut self) -> Result<(), serde_json::Error> {
        self.serial_number.clear();
        let digest = Sha256::of(&serde_json::to_vec(self)?);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        self.serial_number = uuid::Builder::from_custom_bytes(bytes)
            .into_uuid()
            .urn()
            .to_string();
        Ok(())
    }

    /// Reads a document; `None` when it is none of this format.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bom: Self = serde_json::from_slice(bytes).ok()?;
        let serial = bom.serial_number.strip_prefix("urn:uuid:")?;
        let is_ours = bom.bom_format == FORMAT && bom.spec_version == SPECIFICATION;
        (is_ours && Uuid::parse_str(serial).is_ok()).then_some(bom)
    }

    /// As JSON, on lines of its own.
    ///
    /// # Errors
    /// None that plain data in memory could give.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Component {
    pub(super) fn new(kind: Kind, bom_ref: &str, name: &str, version: &str) -> Self {
        Self {
            kind,
            bom_ref: bom_ref.to_owned(),
            name: name.to_owned(),
            version: Some(version.to_owned()).filter(|version| !version.is_empty()),
            description: None,
            hashes: Vec::new(),
            licenses: Vec::new(),
            purl: None,
            properties: Vec::new(),
        }
    }

    pub(super) fn hash(&mut self, sha256: &str) {
        self.hashes = vec![Hash {
            alg: "SHA-256".to_owned(),
            content: sha256.to_owned(),
        }];
    }

    /// Sets an SPDX expression as its licence.
    pub(super) fn expression(&mut self, expression: &str) {
        self.licenses = vec![Licence::Expression(expression.to_owned())];
    }

    /// Sets a mere name as its licence.
    pub(super) fn licence_name(&mut self, name: &str) {
        self.licenses = vec![Licence::License(Named {
            name: name.to_owned(),
        })];
    }

    /// A property's value.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|property| property.name == name);
        found.map(|property| property.value.as_str())
    }
}

impl Dependency {
    pub(super) fn new(of: String, mut depends_on: Vec<String>) -> Self {
        depends_on.sort();
        depends_on.dedup();
        Self { of, depends_on }
    }
}

/// A text as a part of a package URL: everything but unreserved characters and the colon is percent-encoded
/// (ECMA-427 §5.4).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
