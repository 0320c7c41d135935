//! Sorts the stop words into a table and finds out which bzip2 is linked.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

const STOPWORDS: &str = "data/stopwords.txt";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={STOPWORDS}");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    write_stopwords(&out.join("stopwords.rs"))?;

    // bzip2-sys has `links = "bzip2"`, so cargo hands its `include` to us.
    let include = env::var_os("DEP_BZIP2_INCLUDE").context("bzip2-sys named no include folder")?;
    let version = bzip2_version(&Path::new(&include).join("bzlib.h"))?;
    println!("cargo::rustc-env=HELLO_BZIP2_VERSION={version}");
    Ok(())
}

/// Writes the stop words, sorted, as a Rust expression.
fn write_stopwords(target: &Path) -> Result<()> {
    let text = fs::read_to_string(STOPWORDS).context(STOPWORDS)?;
    let mut words: Vec<&str> = text.split_whitespace().collect();
    words.sort_unstable();
    words.dedup();
    fs::write(target, format!("&{words:?}\n")).with_context(|| target.display().to_string())
}

/// The version in the header's line "bzip2/libbzip2 version 1.0.8 of ...".
fn bzip2_version(header: &Path) -> Result<String> {
    let text = fs::read_to_string(header).with_context(|| header.display().to_string())?;
    text.split_once("libbzip2 version ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .map(str::to_owned)
        .with_context(|| format!("{}: no version line", header.display()))
}
