//! One text with a name.

use serde::{Deserialize, Serialize};

/// A named text: what is counted, packed and unpacked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Note {
    /// Where the text came from; the name within an archive.
    pub name: String,
    /// The text itself.
    pub text: String,
    /// CRC-32 of the text: says whether a note survived its archive.
    crc: u32,
}

impl Note {
    /// Makes a note and its checksum.
    ///
    /// ```
    /// let note = hello_core::Note::new("a.txt", "one two");
    /// assert!(note.is_intact());
    /// ```
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let crc = crc32fast::hash(text.as_bytes());
        let name = name.into();
        Self { name, text, crc }
    }

    /// Whether the text still has the checksum it was made with.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        crc32fast::hash(self.text.as_bytes()) == self.crc
    }
}

#[cfg(test)]
mod tests {
    use super::Note;

    #[test]
    fn a_changed_text_is_noticed() {
        let mut note = Note::new("a.txt", "one");
        note.text.push('!');
        assert!(!note.is_intact());
    }

    // The field order of the struct is the key order of the text, and the
    // test build of `json` keeps it through a round trip.
    #[test]
    fn json_keeps_the_order_of_fields() {
        let text = json::to_string(&Note::new("a.txt", "one")).expect("a note is JSON");
        let value: json::Value = json::from_str(&text).expect("what we wrote");
        assert_eq!(
            value.to_string(),
            r#"{"name":"a.txt","text":"one","crc":2053932785}"#
        );
    }
}
