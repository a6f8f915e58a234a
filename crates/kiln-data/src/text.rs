//! Running text as numbers: word and byte vocabularies, corpora cut into training, validation and test text, and the
//! n-gram windows that feed-forward language models learn from.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Kind};
use crate::error::listed;
use crate::{ArrayDataset, DataDir, DataError, file_bytes};

/// Token of every word that the vocabulary does not have.
pub const UNKNOWN: u32 = 0;

/// Tokens of a text: words or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Lower-cased words of letters and digits, apostrophes inside kept, everything else dropped.
    #[default]
    Words,
    /// The 256 byte values; token `b + 1` is byte `b`.
    Bytes,
}

/// How a corpus is made of text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorpusOptions {
    /// Words or bytes.
    pub unit: Unit,
    /// At most this many running tokens, an equal share from the beginning of each book; `None` takes all.
    pub max_tokens: Option<usize>,
    /// Words seen less often in the training text become [`UNKNOWN`].
    pub min_count: usize,
    /// Fraction at the end of each book that is the test text.
    pub test: f64,
    /// Fraction at the end of the rest that is the validation text.
    pub validation: f64,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self { unit: Unit::Words, max_tokens: None, min_count: 2, test: 0.1, validation: 0.1 }
    }
}

impl CorpusOptions {
    /// Where the validation and the test text of a book of so many tokens begin.
    pub(crate) fn cuts(&self, length: usize) -> (usize, usize) {
        let test = length - (length as f64 * self.test).round() as usize;
        (test - (test as f64 * self.validation).round() as usize, test)
    }
}

/// Words and their numbers, the most frequent first; number 0 is `<unk>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    unit: Unit,
    words: Vec<String>,
    /// How often each word was seen in the training text; of `<unk>`, all words that are not in the vocabulary.
    counts: Vec<u64>,
    #[serde(skip)]
    index: HashMap<String, u32>,
}

impl Vocabulary {
    /// The words that come at least `min_count` times, by falling frequency, then alphabetically.
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a str>, min_count: usize) -> Self {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for word in words {
            *counts.entry(word).or_default() += 1;
        }
        let (mut kept, dropped): (Vec<_>, Vec<_>) =
            counts.into_iter().partition(|(_, count)| *count >= min_count as u64);
        kept.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let unknown = dropped.iter().map(|(_, count)| count).sum();
        let mut vocabulary =
            Self { unit: Unit::Words, words: vec!["<unk>".into()], counts: vec![unknown], index: HashMap::new() };
        for (word, count) in kept {
            vocabulary.words.push(word.to_owned());
            vocabulary.counts.push(count);
        }
        vocabulary.number();
        vocabulary
    }

    /// The 256 bytes behind `<unk>`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut counts = vec![0; 257];
        bytes.iter().for_each(|&byte| counts[usize::from(byte) + 1] += 1);
        let names = (0..=255_u8).map(|byte| char::from(byte).escape_default().to_string());
        let words = std::iter::once("<unk>".to_owned()).chain(names).collect();
        let mut vocabulary = Self { unit: Unit::Bytes, words, counts, index: HashMap::new() };
        vocabulary.number();
        vocabulary
    }

    /// The words behind `<unk>`, in this order; how often they come is not known.
    ///
    /// # Panics
    /// Where the unit is bytes, and the words are not their 256 names.
    pub(crate) fn of_known(unit: Unit, known: &[String]) -> Self {
        assert!(unit == Unit::Words || known.len() == 256, "{} names of 256 bytes", known.len());
        let words: Vec<String> = std::iter::once("<unk>".to_owned()).chain(known.iter().cloned()).collect();
        let mut vocabulary = Self { unit, counts: vec![0; words.len()], words, index: HashMap::new() };
        vocabulary.number();
        vocabulary
    }

    /// The words behind `<unk>`.
    pub(crate) fn known(&self) -> &[String] {
        &self.words[1..]
    }

    /// Number of tokens, `<unk>` among them.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it has no word besides `<unk>`.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// Words or bytes.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Number of a word, [`UNKNOWN`] where it is not in the vocabulary.
    pub fn token(&self, word: &str) -> u32 {
        self.index.get(word).copied().unwrap_or(UNKNOWN)
    }

    /// The word behind a number; `<unk>` where there is none.
    pub fn word(&self, token: u32) -> &str {
        self.words.get(token as usize).map_or("<unk>", String::as_str)
    }

    /// How often each token comes in the training text.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Tokens of a text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self.unit {
            Unit::Words => words(text).iter().map(|word| self.token(word)).collect(),
            Unit::Bytes => text.bytes().map(|byte| u32::from(byte) + 1).collect(),
        }
    }

    fn number(&mut self) {
        self.index = self.words.iter().enumerate().map(|(token, word)| (word.clone(), token as u32)).collect();
    }

    /// Makes a vocabulary that came out of a file usable.
    pub fn restored(mut self) -> Self {
        self.number();
        self
    }
}

/// The words of a text: lower-cased runs of letters and digits with apostrophes inside (typographic ones become
/// straight).
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().map(|letter| if letter == '\u{2019}' { '\'' } else { letter }).peekable();
    while let Some(letter) = letters.next() {
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        } else if letter == '\'' && !word.is_empty() && letters.peek().is_some_and(|next| next.is_alphanumeric()) {
            word.push(letter);
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Which text of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Text to learn from.
    Train,
    /// Text to choose settings by.
    Validation,
    /// Text to report on.
    Test,
}

/// Books as tokens, the end of each held back.
#[derive(Debug, Clone)]
pub struct Corpus {
    vocabulary: Vocabulary,
    books: Vec<Book>,
}

#[derive(Debug, Clone)]
struct Book {
    name: String,
    tokens: Vec<u32>,
    /// Where validation and test begin.
    validation: usize,
    test: usize,
}

impl Corpus {
    /// A set of texts by its name (`novels`, `austen`), a file (`.txt`, `.txt.gz`) or a folder of such files.
    ///
    /// # Errors
    /// [`DataError`] where a file is missing, is not UTF-8, or has fewer than two different words.
    pub fn open(source: &str, dir: &DataDir, options: &CorpusOptions) -> Result<Self, DataError> {
        Self::read(&files(source, dir)?, options)
    }

    /// The given files, each a book.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(paths: &[PathBuf], options: &CorpusOptions) -> Result<Self, DataError> {
        let mut books = Vec::with_capacity(paths.len());
        for path in paths {
            let text = read_text(path)?;
            let name = crate::image_folder::file_name(path);
            books.push((name.split('.').next().unwrap_or_default().to_owned(), text));
        }
        Self::from_texts(books, options).map_err(|error| match error {
            DataError::Malformed { place, found, expected, .. } => {
                let path = paths.first().map_or(Path::new("text"), PathBuf::as_path);
                DataError::malformed(path, place, found, expected)
            }
            other => other,
        })
    }

    /// Texts in memory, each with its name.
    ///
    /// # Errors
    /// [`DataError::InvalidOption`] for fractions outside `0..1`, [`DataError::Malformed`] for fewer than two
    /// different words.
    pub fn from_texts(texts: Vec<(String, String)>, options: &CorpusOptions) -> Result<Self, DataError> {
        for (option, value) in [("corpus.test", options.test), ("corpus.validation", options.validation)] {
            if !(0.0..1.0).contains(&value) {
                let allowed = "a fraction of at least 0 and below 1 is needed".to_owned();
                return Err(DataError::InvalidOption { option, value: value.to_string(), allowed });
            }
        }
        let cuts = |length: usize| options.cuts(length);
        match options.unit {
            Unit::Words => {
                let mut books: Vec<(String, Vec<String>)> =
                    texts.into_iter().map(|(name, text)| (name, words(&text))).collect();
                let lengths: Vec<usize> = books.iter().map(|(_, words)| words.len()).collect();
                for ((_, words), share) in books.iter_mut().zip(shares(&lengths, options.max_tokens)) {
                    words.truncate(share);
                }
                let training = books.iter().flat_map(|(_, words)| &words[..cuts(words.len()).0]);
                let vocabulary = Vocabulary::of_words(training.map(String::as_str), options.min_count);
                let encode = |words: Vec<String>| words.iter().map(|word| vocabulary.token(word)).collect::<Vec<u32>>();
                let books = books.into_iter().map(|(name, words)| Book::new(name, encode(words), cuts)).collect();
                Self { vocabulary, books }.checked()
            }
            Unit::Bytes => {
                let lengths: Vec<usize> = texts.iter().map(|(_, text)| text.len()).collect();
                let kept = shares(&lengths, options.max_tokens);
                let training: Vec<u8> = texts
                    .iter()
                    .zip(&kept)
                    .flat_map(|((_, text), &kept)| text.as_bytes()[..cuts(kept).0].iter().copied())
                    .collect();
                let vocabulary = Vocabulary::of_bytes(&training);
                let encode = |text: &[u8]| text.iter().map(|&byte| u32::from(byte) + 1).collect::<Vec<u32>>();
                let books = texts
                    .into_iter()
                    .zip(kept)
                    .map(|((name, text), kept)| Book::new(name, encode(&text.as_bytes()[..kept]), cuts))
                    .collect();
                Self { vocabulary, books }.checked()
            }
        }
    }

    fn checked(self) -> Result<Self, DataError> {
        let different = self.vocabulary.counts[1..].iter().filter(|&&count| count > 0).count();
        if different < 2 {
            let found = format!("{different} different words that come often enough");
            return Err(DataError::malformed("text", "training text", found, "at least two"));
        }
        Ok(self)
    }

    /// Words and their numbers.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Names of the books.
    pub fn books(&self) -> Vec<&str> {
        self.books.iter().map(|book| book.name.as_str()).collect()
    }

    /// Tokens of a part, book by book.
    pub fn tokens(&self, part: Part) -> Vec<&[u32]> {
        self.books
            .iter()
            .map(|book| match part {
                Part::Train => &book.tokens[..book.validation],
                Part::Validation => &book.tokens[book.validation..book.test],
                Part::Test => &book.tokens[book.test..],
            })
            .collect()
    }

    /// Running tokens of a part.
    pub fn num_tokens(&self, part: Part) -> usize {
        self.tokens(part).iter().map(|tokens| tokens.len()).sum()
    }

    /// All windows of `context` tokens and the one that follows them, none across the edge of a book or part.
    ///
    /// With `skip_unknown`, windows whose target is [`UNKNOWN`] are left out.
    ///
    /// # Errors
    /// [`DataError::EmptySplit`] where the text is not longer than the context.
    pub fn windows(&self, part: Part, context: usize, skip_unknown: bool) -> Result<NgramWindows, DataError> {
        let windows = NgramWindows::over(&self.tokens(part), context, skip_unknown);
        if windows.starts.is_empty() {
            let split = match part {
                Part::Train => "training",
                Part::Validation => "validation",
                Part::Test => "test",
            };
            let detail = format!("no window of {context} words and a known word after them");
            return Err(DataError::EmptySplit { split, rows: self.num_tokens(part), detail });
        }
        Ok(windows)
    }
}

impl Book {
    fn new(name: String, tokens: Vec<u32>, cuts: impl Fn(usize) -> (usize, usize)) -> Self {
        let (validation, test) = cuts(tokens.len());
        Self { name, tokens, validation, test }
    }
}

/// Windows of running text: `context` tokens and the token to predict.
#[derive(Debug, Clone)]
pub struct NgramWindows {
    context: usize,
    tokens: Vec<u32>,
    starts: Vec<u32>,
}

impl NgramWindows {
    /// The windows of several books.
    pub(crate) fn over(books: &[&[u32]], context: usize, skip_unknown: bool) -> Self {
        let mut windows = Self { context, tokens: Vec::new(), starts: Vec::new() };
        for book in books {
            let offset = windows.tokens.len();
            windows.tokens.extend_from_slice(book);
            let last = book.len().saturating_sub(context);
            let wanted = (0..last).filter(|&at| !skip_unknown || book[at + context] != UNKNOWN);
            windows.starts.extend(wanted.map(|at| (offset + at) as u32));
        }
        windows
    }

    /// The windows as rows, and the word after each as its class: word `i` is class `i - 1` of `names`.
    ///
    /// # Panics
    /// Where a target is [`UNKNOWN`].
    pub(crate) fn into_rows(self, names: &[String]) -> Result<ArrayDataset, DataError> {
        // Single precision holds whole numbers up to here.
        const MOST: usize = 1 << 24;
        if names.len() >= MOST {
            return Err(DataError::shape("vocabulary", format!("{} words", names.len()), format!("below {MOST}")));
        }
        let labels = (0..self.len()).map(|window| self.target(window) - 1).collect();
        let sequence = self.tokens.iter().map(|&token| token as f32).collect();
        ArrayDataset::of_windows(sequence, self.context, self.starts, labels, names.to_vec())
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Tokens before the one to predict.
    pub fn context_length(&self) -> usize {
        self.context
    }

    /// The tokens before the one to predict, oldest first.
    ///
    /// # Panics
    /// Where `window` is not below [`len`](Self::len).
    pub fn context(&self, window: usize) -> &[u32] {
        let at = self.starts[window] as usize;
        &self.tokens[at..at + self.context]
    }

    /// The token to predict.
    ///
    /// # Panics
    /// Where `window` is not below [`len`](Self::len).
    pub fn target(&self, window: usize) -> u32 {
        self.tokens[self.starts[window] as usize + self.context]
    }

    /// Contexts and targets of the given windows.
    ///
    /// # Shapes
    /// - output: `[windows, context]` and `[windows]`
    ///
    /// # Panics
    /// Where a window is not below [`len`](Self::len).
    pub fn batch(&self, windows: &[usize], device: &Device) -> (Tensor<2, Int>, Tensor<1, Int>) {
        let contexts: Vec<i64> =
            windows.iter().flat_map(|&window| self.context(window).iter().map(|&token| i64::from(token))).collect();
        let targets: Vec<i64> = windows.iter().map(|&window| i64::from(self.target(window))).collect();
        (
            Tensor::from_data(TensorData::new(contexts, [windows.len(), self.context]), device),
            Tensor::from_data(TensorData::new(targets, [windows.len()]), device),
        )
    }
}

/// The files of a set of texts by its name, of a folder, or the file itself.
pub(crate) fn files(source: &str, dir: &DataDir) -> Result<Vec<PathBuf>, DataError> {
    if let Some(entry) = catalogue::find(source).filter(|entry| entry.kind == Kind::Text) {
        let find = |file: &catalogue::DataFile| dir.get(file.path).ok_or_else(|| not_here(entry.name, file.path, dir));
        return entry.files.iter().map(find).collect();
    }
    let path = crate::source::locate(source, dir)?;
    if !path.is_dir() {
        return Ok(vec![path]);
    }
    let mut paths = crate::image_folder::list(&path)?;
    paths.retain(|path| {
        let name = crate::image_folder::file_name(path);
        path.is_file() && name.trim_end_matches(".gz").ends_with(".txt")
    });
    if paths.is_empty() {
        return Err(DataError::malformed(path, "", "no text", "files ending in .txt or .txt.gz"));
    }
    Ok(paths)
}

/// The text of a file, unpacked where it is gzipped.
pub(crate) fn read_text(path: &Path) -> Result<String, DataError> {
    String::from_utf8(file_bytes::read_all(path)?).map_err(|error| {
        let place = format!("byte {}", error.utf8_error().valid_up_to());
        DataError::malformed(path, place, "text that is not UTF-8", "UTF-8")
    })
}

/// An equal share for each book, and what short books leave over to the others.
fn shares(lengths: &[usize], most: Option<usize>) -> Vec<usize> {
    let Some(most) = most else { return lengths.to_vec() };
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&book| lengths[book]);
    let mut left = most;
    let mut shares = vec![0; lengths.len()];
    for (done, &book) in order.iter().enumerate() {
        shares[book] = lengths[book].min(left / (lengths.len() - done));
        left -= shares[book];
    }
    shares
}

fn not_here(name: &str, file: &str, dir: &DataDir) -> DataError {
    DataError::NotHere {
        name: name.to_owned(),
        file: file.to_owned(),
        searched: dir.shown(),
        hint: catalogue::find(name).map_or_else(|| listed(catalogue::names()), |entry| entry.hint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(text: &str, options: &CorpusOptions) -> Result<Corpus, DataError> {
        Corpus::from_texts(vec![("book".into(), text.into())], options)
    }

    #[test]
    fn words_are_lower_case_and_keep_their_apostrophes() {
        assert_eq!(
            words("Don\u{2019}t _stop_, 'tis the 2nd--THE end."),
            ["don't", "stop", "tis", "the", "2nd", "the", "end"]
        );
    }

    #[test]
    fn the_vocabulary_is_sorted_by_frequency_and_counts_the_rest() {
        let vocabulary = Vocabulary::of_words(["b", "a", "b", "a", "c", "d", "b"], 2);
        assert_eq!((0..3).map(|token| vocabulary.word(token)).collect::<Vec<_>>(), ["<unk>", "b", "a"]);
        assert_eq!(vocabulary.counts(), [2, 3, 2]);
        assert_eq!(vocabulary.encode("A c b"), [2, 0, 1]);
    }

    #[test]
    fn windows_stay_inside_their_part_and_skip_unknown_targets() {
        let options = CorpusOptions { min_count: 2, test: 0.25, validation: 0.0, ..CorpusOptions::default() };
        let corpus = corpus("a b a b x a b a b a b a", &options).unwrap();
        assert_eq!(corpus.num_tokens(Part::Train), 9);
        let windows = corpus.windows(Part::Train, 2, true).unwrap();
        assert_eq!(windows.len(), 6);
        assert!((0..windows.len()).all(|window| windows.target(window) != UNKNOWN));
        assert_eq!(corpus.windows(Part::Train, 2, false).unwrap().len(), 7);
        assert_eq!(windows.context(0), [corpus.vocabulary().token("a"), corpus.vocabulary().token("b")]);
        assert!(matches!(corpus.windows(Part::Test, 3, true), Err(DataError::EmptySplit { split: "test", .. })));
    }

    #[test]
    fn short_books_leave_their_share_to_the_others() {
        assert_eq!(shares(&[100, 10, 100], Some(90)), [40, 10, 40]);
        assert_eq!(shares(&[5, 6], None), [5, 6]);
    }

    #[test]
    fn bytes_are_tokens_too_and_a_single_word_is_refused() {
        let options = CorpusOptions { unit: Unit::Bytes, ..CorpusOptions::default() };
        let bytes = corpus("abcabc", &options).unwrap();
        assert_eq!(bytes.vocabulary().len(), 257);
        assert_eq!(bytes.vocabulary().encode("a"), [98]);
        let message = corpus("same same same", &CorpusOptions::default()).unwrap_err().to_string();
        assert!(message.contains("1 different words"), "{message}");
    }
}
