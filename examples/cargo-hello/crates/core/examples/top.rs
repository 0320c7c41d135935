//! Prints the three most frequent words of what it reads.

use std::io::{self, Read};

use hello_core::{Counter, Note};

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let mut counter = Counter::new();
    counter.add(&Note::new("stdin", text));
    for (word, count) in counter.top(3) {
        println!("{count:6} {word}");
    }
    Ok(())
}
