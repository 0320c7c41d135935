//! The archive through the public interface, with a stored file.

use hello_core::{Counter, Note, pack, unpack};

/// Archives that users have stay readable, whatever changes here.
const STORED: &[u8] = include_bytes!("data/meals.hello");

#[test]
fn a_stored_archive_is_read() {
    let notes = unpack(STORED).expect("an archive written by `pack`");
    let names: Vec<_> = notes.iter().map(|note| note.name.as_str()).collect();
    assert_eq!(names, ["breakfast.txt", "lunch.txt"]);
}

#[test]
fn counts_survive_the_archive() {
    let notes = [Note::new("a", "red green red"), Note::new("b", "green red")];
    let bytes = pack(Vec::new(), &notes).expect("writing to memory");

    let mut counter = Counter::new();
    for note in &unpack(bytes.as_slice()).expect("our archive") {
        counter.add(note);
    }
    assert_eq!(counter.top(2), [("red", 3), ("green", 2)]);
}
