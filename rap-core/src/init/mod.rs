//! `rap init`: process 1.

pub mod supervisor;
