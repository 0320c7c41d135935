//! Word counts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use unicode_segmentation::UnicodeSegmentation;

use crate::Note;

/// Sorted when the build script writes it, so that it can be searched.
static STOPWORDS: &[&str] = include!(concat!(env!("OUT_DIR"), "/stopwords.rs"));

/// Counts words over any number of notes, whatever their case.
///
/// With the feature `stopwords`, words such as "the" and "of" are left out
/// unless [`Counter::with_stopwords`] asks for them.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    counts: BTreeMap<String, u64>,
    keep_stopwords: bool,
}

impl Counter {
    /// A counter that leaves stop words out.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter that counts every word.
    ///
    /// ```
    /// use hello_core::{Counter, Note};
    ///
    /// let mut counter = Counter::with_stopwords();
    /// counter.add(&Note::new("a.txt", "The cat and the hat"));
    /// assert_eq!(counter.top(1), [("the", 2)]);
    /// ```
    #[must_use]
    pub fn with_stopwords() -> Self {
        Self {
            keep_stopwords: true,
            ..Self::default()
        }
    }

    /// Counts the words of one more note.
    pub fn add(&mut self, note: &Note) {
        for word in note.text.unicode_words() {
            let word = word.to_lowercase();
            if self.keep_stopwords || !is_stopword(&word) {
                *self.counts.entry(word).or_default() += 1;
            }
        }
    }

    /// How many words were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The most frequent words; equal ones in alphabetical order.
    #[must_use]
    pub fn top(&self, limit: usize) -> Vec<(&str, u64)> {
        let mut words: Vec<_> = self.counts.iter().map(|(w, n)| (w.as_str(), *n)).collect();
        words.sort_by_key(|&(word, count)| (Reverse(count), word));
        words.truncate(limit);
        words
    }
}

fn is_stopword(word: &str) -> bool {
    cfg!(feature = "stopwords") && STOPWORDS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Counter, STOPWORDS};
    use crate::Note;

    fn count(mut counter: Counter, text: &str) -> Counter {
        counter.add(&Note::new("test", text));
        counter
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(STOPWORDS.is_sorted());
        assert!(STOPWORDS.contains(&"the"));
    }

    #[test]
    fn case_and_punctuation_do_not_count() {
        let counter = count(Counter::with_stopwords(), "Tea! tea, TEA; isn't coffee.");
        assert_eq!(counter.top(9), [("tea", 3), ("coffee", 1), ("isn't", 1)]);
    }

    #[test]
    fn words_of_any_script_count() {
        let counter = count(Counter::new(), "Ünï ünï κόσμε");
        assert_eq!(counter.top(9), [("ünï", 2), ("κόσμε", 1)]);
    }

    #[test]
    #[cfg(feature = "stopwords")]
    fn stopwords_are_left_out() {
        let counter = count(Counter::new(), "the top of the hill");
        assert_eq!(counter.top(9), [("hill", 1), ("top", 1)]);
        assert_eq!(counter.total(), 2);
    }

    #[test]
    fn the_limit_holds() {
        assert_eq!(count(Counter::new(), "x y z").top(2).len(), 2);
        assert!(Counter::new().top(5).is_empty());
    }
}
