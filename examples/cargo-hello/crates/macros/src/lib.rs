//! Compiles the message file of a package into a table.
//!
//! A message file has one message a line, `key = text`. Empty lines and lines
//! that start with `#` are skipped.

use std::path::Path;

use proc_macro::TokenStream;
use quote::quote;
use syn::{LitStr, parse_macro_input};

/// Expands to a sorted `&[(&str, &str)]` of the messages in a file.
///
/// The path is relative to the package which calls the macro. A file that
/// cannot be read, or a line without `=`, is a compile error at the call.
#[proc_macro]
pub fn messages(input: TokenStream) -> TokenStream {
    let path = parse_macro_input!(input as LitStr);
    expand(&path)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn expand(path: &LitStr) -> syn::Result<proc_macro2::TokenStream> {
    let fail = |text: String| syn::Error::new(path.span(), text);
    let root = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|error| fail(format!("CARGO_MANIFEST_DIR: {error}")))?;
    let file = path.value();
    let text = std::fs::read_to_string(Path::new(&root).join(&file))
        .map_err(|error| fail(format!("{file}: {error}")))?;
    let entries = parse(&text).map_err(|error| fail(format!("{file}:{error}")))?;

    let (keys, texts): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    Ok(quote! {{
        // Makes the compiler track the file, which it cannot see us reading.
        const _: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", #path));
        &[#((#keys, #texts)),*]
    }})
}

/// Reads `key = text` lines; the error starts with the number of the line.
fn parse(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("{}: expected `key = text`, found `{line}`", index + 1))?;
        entries.push((key.trim(), value.trim()));
    }
    entries.sort_unstable();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::{expand, parse};
    use proc_macro2::Span;
    use syn::LitStr;

    #[test]
    fn reads_sorts_and_skips() {
        let text = "# greetings\n\nfr = Bonjour\nen=Hello\n";
        assert_eq!(parse(text), Ok(vec![("en", "Hello"), ("fr", "Bonjour")]));
    }

    #[test]
    fn names_the_line_without_a_key() {
        let error = parse("en = Hello\nHola\n").expect_err("no `=` in line 2");
        assert_eq!(error, "2: expected `key = text`, found `Hola`");
    }

    #[test]
    fn expands_a_file_of_the_package() {
        let path = LitStr::new("tests/messages.txt", Span::call_site());
        let tokens = expand(&path).expect("the file exists").to_string();
        assert!(tokens.contains(r#"("en" , "Hello")"#), "{tokens}");
    }

    #[test]
    fn names_the_missing_file() {
        let path = LitStr::new("tests/absent.txt", Span::call_site());
        let error = expand(&path).expect_err("the file is absent");
        assert!(error.to_string().starts_with("tests/absent.txt: "));
    }
}
