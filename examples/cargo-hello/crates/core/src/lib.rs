#![doc = include_str!("../README.md")]

mod archive;
mod count;
mod greet;
mod note;

pub use archive::{Error, pack, unpack};
pub use count::Counter;
pub use greet::{greet, languages};
pub use note::Note;

/// The version of the bzip2 library which is linked, from its own header.
pub const BZIP2_VERSION: &str = env!("HELLO_BZIP2_VERSION");
