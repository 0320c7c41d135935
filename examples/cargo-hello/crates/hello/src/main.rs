//! Greets, counts words and packs notes.

mod notes;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use hello_core::{BZIP2_VERSION, Counter, greet, languages, pack, unpack};

/// Greets, counts words and packs notes.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Greet somebody.
    Greet {
        /// Whom to greet.
        #[arg(default_value = "world")]
        name: String,
        /// Two-letter code of the language.
        #[arg(short, long, default_value = "en")]
        language: String,
    },
    /// Count the words of notes.
    Count {
        /// Text files, or folders with text files.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Show this many words.
        #[arg(short, long, default_value_t = 5)]
        top: usize,
        /// Count words such as "the" and "of" too.
        #[arg(short, long)]
        all: bool,
        /// Print JSON.
        #[arg(short, long)]
        json: bool,
    },
    /// Pack notes into an archive.
    Pack {
        /// The archive to write.
        archive: PathBuf,
        /// Text files, or folders with text files.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// List the notes of an archive.
    List {
        /// The archive to read.
        archive: PathBuf,
    },
    /// Say what this program is made of.
    About,
}

fn main() -> Result<()> {
    run(Options::parse().command, &mut io::stdout().lock())
}

fn run(command: Command, out: &mut impl Write) -> Result<()> {
    match command {
        Command::Greet { name, language } => {
            let text = greet(&language, &name).with_context(|| {
                let known: Vec<_> = languages().collect();
                format!("no greeting in `{language}`; known: {}", known.join(", "))
            })?;
            writeln!(out, "{text}")?;
        }
        Command::Count {
            paths,
            top,
            all,
            json,
        } => {
            let mut counter = if all {
                Counter::with_stopwords()
            } else {
                Counter::new()
            };
            for note in notes::read(&paths)? {
                counter.add(&note);
            }
            if json {
                writeln!(out, "{}", json::to_string(&counter.top(top))?)?;
            } else {
                for (word, count) in counter.top(top) {
                    writeln!(out, "{count:6} {word}")?;
                }
                writeln!(out, "{:6} words in all", counter.total())?;
            }
        }
        Command::Pack { archive, paths } => {
            let notes = notes::read(&paths)?;
            let name = archive.display();
            let file = File::create(&archive).with_context(|| name.to_string())?;
            let size = pack(file, &notes)?.metadata()?.len();
            writeln!(out, "{name}: {} notes, {size} bytes", notes.len())?;
        }
        Command::List { archive } => {
            let name = archive.display();
            let file = File::open(&archive).with_context(|| name.to_string())?;
            for note in unpack(file).with_context(|| name.to_string())? {
                writeln!(out, "{:6} {}", note.text.len(), note.name)?;
            }
        }
        Command::About => {
            let version = env!("CARGO_PKG_VERSION");
            writeln!(out, "hello {version}, with bzip2 {BZIP2_VERSION}")?;
        }
    }
    Ok(())
}
