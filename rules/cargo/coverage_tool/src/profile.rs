//! Counters of all runs, summed by function.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Bit 60 of a structural hash: LLVM's mark of context-sensitive profiles.
const KIND_FLAG: u64 = 1 << 60;

/// What the profiles know of one function's record.
pub enum Lookup<'a> {
    /// No profile names the function (or all its counters are zero): it never ran.
    Unknown,
    /// The function is known, but compiled from another shape of source: nothing can be said.
    Mismatch,
    /// The counters, by counter id.
    Found(&'a [u64]),
}

/// Counters by function: hash of the name, then structural hash, then counter id.
#[derive(Default)]
pub struct Counts {
    functions: HashMap<u64, HashMap<u64, Vec<u64>>>,
}

impl Counts {
    /// Adds a raw profile, or every `*.profraw` below a directory.
    pub fn add(&mut self, path: &Path) -> Result<(), String> {
        let at = |e: std::io::Error| format!("{}: {e}", path.display());
        if path.is_dir() {
            let mut entries: Vec<PathBuf> = Vec::new();
            for entry in std::fs::read_dir(path).map_err(at)? {
                entries.push(entry.map_err(at)?.path());
            }
            entries.sort();
            for entry in entries {
                if entry.is_dir() || entry.extension().is_some_and(|e| e == "profraw") {
                    self.add(&entry)?;
                }
            }
            return Ok(());
        }
        let bytes = std::fs::read(path).map_err(at)?;
        if bytes.is_empty() {
            // A process that was killed before it could write leaves an empty file.
            return Ok(());
        }
        // A process that was killed while it wrote leaves part of a file, on which the parser may panic.
        let profile = match std::panic::catch_unwind(|| llvm_profparser::parse_bytes(&bytes)) {
            Ok(Ok(profile)) => profile,
            _ => {
                eprintln!(
                    "gorules-coverage: {}: not a whole profile, passed over",
                    path.display()
                );
                return Ok(());
            }
        };
        for record in profile.records() {
            let (Some(name), Some(hash)) = (record.name_hash, record.hash) else {
                continue;
            };
            let sums = self
                .functions
                .entry(name)
                .or_default()
                .entry(hash)
                .or_default();
            let counts = &record.record.counts;
            if sums.len() < counts.len() {
                sums.resize(counts.len(), 0);
            }
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(*count);
            }
        }
        Ok(())
    }

    /// Forgets the functions that never ran, as `llvm-profdata merge -sparse` does.
    pub fn make_sparse(&mut self) {
        self.functions
            .retain(|_, shapes| shapes.values().flatten().any(|count| *count > 0));
    }

    /// The counters of one record of a coverage mapping.
    pub fn lookup(&self, name: u64, hash: u64) -> Lookup<'_> {
        match self.functions.get(&name) {
            None => Lookup::Unknown,
            Some(shapes) => match shapes.get(&hash) {
                Some(counts) => Lookup::Found(counts),
                // As LLVM has it: shapes that differ in the flag bit are of different kinds of profile. Rust's
                // hashes have that bit at random, and a function that was not compiled has the hash 0.
                None if shapes.keys().all(|shape| (shape ^ hash) & KIND_FLAG != 0) => {
                    Lookup::Unknown
                }
                None => Lookup::Mismatch,
            },
        }
    }
}
