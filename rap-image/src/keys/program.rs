//! Keys that do not leave their token: a program signs. It gets the bytes to sign on standard input and gives the bare
//! signature on standard output; `RAP_KEY` holds the key's name. So an HSM, a smart card or a service is a few lines around
//! its own tool.
//!
//! What it has to give: Ed25519's 64 bytes, ECDSA's DER over SHA-256, RSA-PSS with SHA-256 for updates; RSA PKCS #1 v1.5 with
//! SHA-256 for Secure Boot. Whatever it gives is held against the public half before it is used.
//!
//! Invariants: no shell; the answer is bounded; whoever does not answer in [`PATIENCE`] is ended.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// For a person to find and touch a token.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of a signature, at most: RSA of 8192 bits has 1024.
const LIMIT: u64 = 4096;

/// Why a program did not sign.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The file is empty.
    #[error("it names no program: expected the program on the first line, then one argument a line")]
    Empty,
    /// It does not start.
    #[error("{0} cannot be started")]
    Start(String, #[source] io::Error),
    /// It said no.
    #[error("{program} ended with {status}")]
    Failed {
        /// Which.
        program: String,
        /// How.
        status: std::process::ExitStatus,
    },
    /// It said nothing.
    #[error("{0} gave no signature")]
    Nothing(String),
    /// It does not end.
    #[error("{program} did not sign within {} s", .after.as_secs())]
    Late {
        /// Which.
        program: String,
        /// Waited so long.
        after: Duration,
    },
    /// The pipes.
    #[error("the talk with {0} broke off")]
    Talk(String, #[source] io::Error),
}

/// A program that signs.
#[derive(Debug, Clone)]
pub(super) struct Program {
    program: String,
    arguments: Vec<String>,
    key: String,
    patience: Duration,
}

impl Program {
    /// From the text of `NAME.signer`.
    pub(super) fn parse(text: &str, key: &str) -> Result<Self, ProgramError> {
        let mut lines = text.lines().map(str::to_owned);
        let program = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or(ProgramError::Empty)?;
        Ok(Self {
            program,
            arguments: lines.collect(),
            key: key.to_owned(),
            patience: PATIENCE,
        })
    }

    /// Has it sign.
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let name = || self.program.clone();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env("RAP_KEY", &self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| ProgramError::Start(name(), error))?;
        let outcome = self.talk(&mut child, bytes);
        if outcome.is_err() {
            // It may be waiting for what never comes.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| ProgramError::Talk(name(), error))?;
        let signature = outcome?;
        if !status.success() {
            let program = name();
            return Err(ProgramError::Failed { program, status });
        }
        if signature.is_empty() {
            return Err(ProgramError::Nothing(name()));
        }
        Ok(signature)
    }

    fn talk(&self, child: &mut Child, bytes: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ProgramError::Nothing(self.program.clone()));
        };
        let bytes = bytes.to_vec();
        // Who does not read what is to be signed says so by how it ends.
        std::thread::spawn(move || drop(input.write_all(&bytes)));
        let (answer, answered) = mpsc::channel();
        std::thread::spawn(move || {
            let mut signature = Vec::new();
            let read = output.take(LIMIT).read_to_end(&mut signature);
            let _ = answer.send(read.map(|_| signature));
        });
        match answered.recv_timeout(self.patience) {
            Ok(read) => read.map_err(|error| ProgramError::Talk(self.program.clone(), error)),
            Err(_) => Err(ProgramError::Late {
                program: self.program.clone(),
                after: self.patience,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(script: &str, bytes: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let mut program = Program::parse(&format!("/bin/sh\n-c\n{script}"), "update-root-1").unwrap();
        program.patience = Duration::from_millis(500);
        program.sign(bytes)
    }

    #[test]
    fn it_gets_the_bytes_and_gives_the_signature() {
        assert_eq!(
            sign("cat; printf %s \"$RAP_KEY\"", b"bytes,").unwrap(),
            b"bytes,update-root-1"
        );
        // More than a pipe holds, to one who does not read it.
        assert_eq!(sign("printf signature", &[0; 1 << 20]).unwrap(), b"signature");
    }

    #[test]
    fn whatever_goes_wrong_is_said() {
        assert!(matches!(Program::parse("", "x"), Err(ProgramError::Empty)));
        assert!(matches!(sign("exit 3", b"x"), Err(ProgramError::Failed { .. })));
        assert!(matches!(sign(":", b"x"), Err(ProgramError::Nothing(_))));
        assert!(matches!(
            sign("exec sleep 60", b"x"),
            Err(ProgramError::Late { .. })
        ));
        let absent = Program::parse("/nowhere/at/all", "x").unwrap().sign(b"x");
        assert!(matches!(absent, Err(ProgramError::Start(..))), "{absent:?}");
    }
}
