//! Greetings, from the message file of this package.

static GREETINGS: &[(&str, &str)] = hello_macros::messages!("messages.txt");

/// Greets somebody in a language, named by its two-letter code.
///
/// ```
/// assert_eq!(hello_core::greet("fr", "Ada").as_deref(), Some("Bonjour, Ada !"));
/// assert_eq!(hello_core::greet("??", "Ada"), None);
/// ```
#[must_use]
pub fn greet(language: &str, name: &str) -> Option<String> {
    let index = GREETINGS
        .binary_search_by_key(&language, |&(code, _)| code)
        .ok()?;
    Some(GREETINGS[index].1.replace("{}", name))
}

/// The codes of the languages that [`greet`] knows, in order.
pub fn languages() -> impl Iterator<Item = &'static str> {
    GREETINGS.iter().map(|&(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::{greet, languages};

    #[test]
    fn every_language_greets_by_name() {
        for code in languages() {
            let text = greet(code, "Ada").expect("listed, so known");
            assert!(text.contains("Ada"), "{code}: {text}");
        }
    }

    #[test]
    fn english_is_there() {
        assert_eq!(greet("en", "world").as_deref(), Some("Hello, world!"));
    }
}
