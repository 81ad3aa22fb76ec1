//! The fuzzer: libFuzzer around the one target that `RAP_FUZZ_TARGET` names. Started by `scripts/soak fuzz`.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer's entry is a C function")]
#![allow(missing_docs, reason = "a program")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<rap_fuzz::Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("RAP_FUZZ_TARGET").unwrap_or_default();
        let Some(target) = rap_fuzz::target(&name) else {
            let known: Vec<_> = rap_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!(
                "RAP_FUZZ_TARGET is \"{name}\", expected one of {}",
                known.join(", ")
            );
            std::process::exit(2);
        };
        target
    });
    target(bytes);
});
