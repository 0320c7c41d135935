//! Runs the program as a user does.

use std::process::{Command, Output};

const FIXTURES: &str = "tests/fixtures";

fn hello(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hello"))
        .args(args)
        .output()
        .expect("the program starts")
}

fn stdout(args: &[&str]) -> String {
    let output = hello(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hello {args:?}: {errors}");
    String::from_utf8(output.stdout).expect("hello prints UTF-8")
}

fn stderr(args: &[&str]) -> String {
    let output = hello(args);
    assert!(!output.status.success(), "hello {args:?} succeeded");
    String::from_utf8(output.stderr).expect("hello prints UTF-8")
}

#[test]
fn greets() {
    assert_eq!(stdout(&["greet"]), "Hello, world!\n");
    assert_eq!(stdout(&["greet", "-l", "es", "Ada"]), "¡Hola, Ada!\n");
}

#[test]
fn names_the_languages_it_knows() {
    let text = stderr(&["greet", "-l", "xx"]);
    assert!(
        text.contains("no greeting in `xx`; known: cy, de, en"),
        "{text}"
    );
}

#[test]
fn counts_a_folder() {
    let expected = "     4 tea\n     3 toast\n    12 words in all\n";
    assert_eq!(stdout(&["count", "--top", "2", FIXTURES]), expected);
}

#[test]
fn counts_everything_as_json() {
    let expected = "[[\"tea\",4],[\"toast\",3],[\"and\",2]]\n";
    assert_eq!(stdout(&["count", "-ajt", "3", FIXTURES]), expected);
}

#[test]
fn names_the_file_that_is_not_there() {
    let text = stderr(&["count", "tests/fixtures/supper.txt"]);
    assert!(text.contains("tests/fixtures/supper.txt"), "{text}");
}

#[test]
fn packs_and_lists() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("notes.hello");
    let archive = archive.to_str().expect("a UTF-8 path");

    let packed = stdout(&["pack", archive, FIXTURES]);
    assert!(
        packed.starts_with(&format!("{archive}: 2 notes, ")),
        "{packed}"
    );
    assert_eq!(
        stdout(&["list", archive]),
        "    67 tests/fixtures/breakfast.txt\n    30 tests/fixtures/lunch.txt\n"
    );
}

#[test]
fn refuses_what_is_not_an_archive() {
    let text = stderr(&["list", "tests/fixtures/lunch.txt"]);
    assert!(text.contains("lunch.txt"), "{text}");
}

#[test]
fn says_what_it_is_made_of() {
    let version = env!("CARGO_PKG_VERSION");
    let text = stdout(&["about"]);
    assert!(
        text.starts_with(&format!("hello {version}, with bzip2 1.")),
        "{text}"
    );
}
