//! Finds notes on disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hello_core::Note;
use walkdir::WalkDir;

/// Reads text files, and those in folders, in an order that does not depend
/// on the file system.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    for path in paths {
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry?;
            let wanted = entry.depth() == 0 || is_text(entry.path());
            if entry.file_type().is_file() && wanted {
                let name = entry.path().display().to_string();
                let text = fs::read_to_string(entry.path()).with_context(|| name.clone())?;
                notes.push(Note::new(name, text));
            }
        }
    }
    Ok(notes)
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::fs;

    #[test]
    fn folders_are_read_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["b.txt", "a.txt", "c.png"] {
            fs::write(folder.path().join(name), name).expect("a small file");
        }
        let notes = read(&[folder.path().to_owned()]).expect("two notes");
        let texts: Vec<_> = notes.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(texts, ["a.txt", "b.txt"]);
    }

    #[test]
    fn a_named_file_needs_no_extension() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("README");
        fs::write(&path, "hi").expect("a small file");
        assert_eq!(read(&[path]).expect("one note").len(), 1);
    }
}
