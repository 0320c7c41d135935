//! An archive of notes: one JSON object a line, compressed with bzip2.

use std::io::{self, BufRead, BufReader, Read, Write};

use bzip2::Compression;
use bzip2::read::BzDecoder;
use bzip2::write::BzEncoder;

use crate::Note;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file below failed, or what it holds is not bzip2.
    #[error("archive: {0}")]
    Io(#[from] io::Error),
    /// A line of the archive is not a note.
    #[error("archive, note {index}: {source}")]
    Format {
        /// Place of the note in the archive, from 1.
        index: usize,
        /// What the JSON reader found.
        source: json::Error,
    },
    /// The text of a note is not the one that was packed.
    #[error("archive, note {index}: the text of `{name}` does not fit its checksum")]
    Checksum {
        /// Place of the note in the archive, from 1.
        index: usize,
        /// Name of the note.
        name: String,
    },
}

/// Writes notes to an archive and returns what it was written to.
///
/// ```
/// # fn main() -> Result<(), hello_core::Error> {
/// use hello_core::{Note, pack, unpack};
///
/// let notes = [Note::new("a.txt", "one"), Note::new("b.txt", "two")];
/// let bytes = pack(Vec::new(), &notes)?;
/// assert_eq!(unpack(bytes.as_slice())?, notes);
/// # Ok(())
/// # }
/// ```
pub fn pack<W: Write>(to: W, notes: &[Note]) -> Result<W, Error> {
    let mut encoder = BzEncoder::new(to, Compression::best());
    for (index, note) in (1..).zip(notes) {
        json::to_writer(&mut encoder, note).map_err(|source| Error::Format { index, source })?;
        encoder.write_all(b"\n")?;
    }
    Ok(encoder.finish()?)
}

/// Reads the notes of an archive and checks each against its checksum.
pub fn unpack<R: Read>(from: R) -> Result<Vec<Note>, Error> {
    let lines = BufReader::new(BzDecoder::new(from)).lines();
    (1..)
        .zip(lines)
        .map(|(index, line)| note(index, &line?))
        .collect()
}

fn note(index: usize, line: &str) -> Result<Note, Error> {
    let note: Note = json::from_str(line).map_err(|source| Error::Format { index, source })?;
    if note.is_intact() {
        Ok(note)
    } else {
        let name = note.name;
        Err(Error::Checksum { index, name })
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, note, pack, unpack};
    use crate::Note;

    #[test]
    fn an_empty_archive_has_no_notes() {
        let bytes = pack(Vec::new(), &[]).expect("writing to memory");
        assert_eq!(unpack(bytes.as_slice()).expect("our archive"), []);
    }

    #[test]
    fn text_with_newlines_survives() {
        let notes = [Note::new("poem", "one\ntwo\r\n\tthree \"four\"\n")];
        let bytes = pack(Vec::new(), &notes).expect("writing to memory");
        assert_eq!(unpack(bytes.as_slice()).expect("our archive"), notes);
    }

    #[test]
    fn what_is_not_bzip2_is_refused() {
        let error = unpack(&b"plain text"[..]).expect_err("not bzip2");
        assert!(matches!(error, Error::Io(_)), "{error}");
    }

    #[test]
    fn a_changed_text_is_refused() {
        let line = json::to_string(&Note::new("a.txt", "one")).expect("a note is JSON");
        let error = note(7, &line.replace("one", "two")).expect_err("wrong checksum");
        assert_eq!(
            error.to_string(),
            "archive, note 7: the text of `a.txt` does not fit its checksum"
        );
    }

    #[test]
    fn a_line_that_is_no_note_is_refused() {
        let error = note(2, "{}").expect_err("no fields");
        assert!(matches!(error, Error::Format { index: 2, .. }), "{error}");
    }

    // Seconds in an unoptimised build; RUSTFLAGS="--cfg slow_tests" runs it.
    #[test]
    #[cfg_attr(not(slow_tests), ignore = "packs 24 MB; needs --cfg slow_tests")]
    fn a_large_note_survives() {
        let notes = [Note::new("large", "lorem ipsum ".repeat(2_000_000))];
        let bytes = pack(Vec::new(), &notes).expect("writing to memory");
        assert_eq!(unpack(bytes.as_slice()).expect("our archive"), notes);
    }
}
