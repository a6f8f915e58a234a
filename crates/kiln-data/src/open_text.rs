//! Running text as rows: the words before a known word, and that word as the class.

use crate::catalogue::{self, Kind};
use crate::contents::Format;
use crate::source::Source;
use crate::text::{self, Corpus, CorpusOptions, NgramWindows, Part, UNKNOWN, Unit, Vocabulary};
use crate::{ArrayDataset, DataDir, DataError, InputEncoding, Preprocessing, Splits, TargetEncoding, is_text};

/// Opens running text for a model of the next word: a known set of books by its name, a file, or a folder of `.txt` files.
///
/// Each row has the numbers of `context` words and the word after them as its class. The classes are the words of the
/// vocabulary, numbered from 0 by falling frequency; as inputs they are numbered from 1, and 0 is `<unk>`, any other word,
/// which is no class. The last words of each file are the test rows and those before them the validation rows. No row
/// reaches over the edge of a file or of a part.
///
/// # Errors
/// [`DataError::InvalidOption`] for a source that holds tables, pictures or arrays, and for a context of 0; those of
/// [`Corpus::open`]; [`DataError::EmptySplit`] where a part is not longer than the context.
///
/// ```
/// use kiln_data::{DataDir, open_text, text::CorpusOptions};
///
/// let splits = open_text("austen", &DataDir::find(None), &CorpusOptions::default(), 5)?;
/// assert_eq!(splits.train.input_shape(), &[5]);
/// assert_eq!(splits.train.class_names()[0], "the");
/// # Ok::<(), kiln_data::DataError>(())
/// ```
pub fn open_text(source: &str, dir: &DataDir, options: &CorpusOptions, context: usize) -> Result<Splits, DataError> {
    check_context(context)?;
    refuse_rows(source, dir)?;
    let corpus = Corpus::open(source, dir, options)?;
    let names = corpus.vocabulary().known();
    let part = |part| corpus.windows(part, context, true)?.into_rows(names);
    Ok(Splits {
        name: source.to_owned(),
        train: part(Part::Train)?,
        validation: part(Part::Validation)?,
        test: part(Part::Test)?,
        preprocessing: Preprocessing {
            inputs: InputEncoding::Text { unit: options.unit, context },
            targets: TargetEncoding::Classes { column: None, names: names.to_vec() },
        },
        bags: None,
        notes: Vec::new(),
    })
}

/// Reads text for a model that was trained on rows with `preprocessing`: with `test_of`, the rows that
/// [`open_text`] would keep for the test with these options, else the rows of all the text.
///
/// # Errors
/// As [`open_text`]; [`DataError::Malformed`] for a model of something else.
pub fn open_text_like(
    source: &str,
    dir: &DataDir,
    preprocessing: &Preprocessing,
    test_of: Option<&CorpusOptions>,
) -> Result<ArrayDataset, DataError> {
    refuse_rows(source, dir)?;
    let (vocabulary, context) = known_words(preprocessing, source)?;
    let texts = text::files(source, dir)?.into_iter().map(|path| text::read_text(&path));
    let books: Vec<Vec<u32>> = texts.map(|text| Ok(vocabulary.encode(&text?))).collect::<Result<_, DataError>>()?;
    let wanted = |book: &'_ Vec<u32>| test_of.map_or(0, |options| options.cuts(book.len()).1);
    let parts: Vec<&[u32]> = books.iter().map(|book| &book[wanted(book)..]).collect();
    let windows = NgramWindows::over(&parts, context, true);
    if windows.is_empty() {
        let rows = parts.iter().map(|part| part.len()).sum();
        let detail = format!("no window of {context} words and a word after them that the model knows");
        return Err(DataError::EmptySplit { split: "test", rows, detail });
    }
    windows.into_rows(preprocessing.class_names())
}

/// Lines of a text that are to be continued.
#[derive(Debug, Clone)]
pub struct Lines {
    /// The last words of each line that has any; the targets are all 0 and must not be read.
    pub rows: ArrayDataset,
    /// Which line each row is, counted from 1.
    pub numbers: Vec<usize>,
}

/// Reads the lines of a file for a model that was trained on text with `preprocessing`. Each line stands for itself; one
/// that is shorter than the context is filled up with `<unk>` in front, and one without words is left out.
///
/// # Errors
/// [`DataError::InvalidOption`] for a set or folder of several files, or one that holds no text; [`DataError::Malformed`]
/// where no line has a word.
pub fn open_lines_like(source: &str, dir: &DataDir, preprocessing: &Preprocessing) -> Result<Lines, DataError> {
    refuse_rows(source, dir)?;
    let (vocabulary, context) = known_words(preprocessing, source)?;
    let files = text::files(source, dir)?;
    let [file] = &files[..] else {
        let allowed = format!("one file, whose lines are continued, is needed, and not {}", files.len());
        return Err(DataError::InvalidOption { option: "data", value: source.to_owned(), allowed });
    };
    let text = text::read_text(file)?;
    let (mut sequence, mut numbers) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let tokens = vocabulary.encode(line);
        if tokens.is_empty() {
            continue;
        }
        let last = &tokens[tokens.len().saturating_sub(context)..];
        sequence.extend(std::iter::repeat_n(UNKNOWN, context - last.len()).chain(last.iter().copied()));
        numbers.push(at + 1);
    }
    if numbers.is_empty() {
        return Err(DataError::malformed(file, "", "no words", "lines of text to be continued"));
    }
    let inputs = sequence.into_iter().map(|token| token as f32).collect();
    let starts = (0..numbers.len()).map(|row| (row * context) as u32).collect();
    let labels = vec![0; numbers.len()];
    let rows = ArrayDataset::of_windows(inputs, context, starts, labels, preprocessing.class_names().to_vec())?;
    Ok(Lines { rows, numbers })
}

/// Whether a source may be read as running text: it [is one](is_text), or it is a file of none of the formats that hold
/// rows.
fn may_be_text(source: &str, dir: &DataDir) -> bool {
    let is_other_file = || {
        let found = Source::find(source, dir).ok()?;
        let path = found.path.filter(|_| found.entry.is_none())?;
        Some(path.is_file() && Format::of(&path).is_none())
    };
    is_text(source, dir) || is_other_file().unwrap_or(false)
}

/// Refuses what is there and holds rows; what is missing is the reader's to name.
fn refuse_rows(source: &str, dir: &DataDir) -> Result<(), DataError> {
    let is_known = catalogue::find(source).is_some_and(|entry| entry.kind != Kind::Text);
    if may_be_text(source, dir) || (!is_known && Source::find(source, dir).is_err()) {
        return Ok(());
    }
    let allowed = "running text is needed, and this has rows of a table, of pictures or of arrays".to_owned();
    Err(DataError::InvalidOption { option: "data", value: source.to_owned(), allowed })
}

fn check_context(context: usize) -> Result<(), DataError> {
    if context >= 1 {
        return Ok(());
    }
    let allowed = "at least one word before the one to predict is needed".to_owned();
    Err(DataError::InvalidOption { option: "--context", value: context.to_string(), allowed })
}

/// Vocabulary and context of a model of text.
fn known_words(preprocessing: &Preprocessing, source: &str) -> Result<(Vocabulary, usize), DataError> {
    match (&preprocessing.inputs, &preprocessing.targets) {
        (InputEncoding::Text { unit, context }, TargetEncoding::Classes { names, .. })
            if *unit == Unit::Words || names.len() == 256 =>
        {
            check_context(*context)?;
            Ok((Vocabulary::of_known(*unit, names), *context))
        }
        _ => Err(DataError::malformed(source, "", "running text", "rows as in training, which were no text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.txt");
        std::fs::write(&path, text).unwrap();
        let path = path.display().to_string();
        (folder, path)
    }

    fn words(data: &ArrayDataset, row: usize) -> (Vec<&str>, &str) {
        let name = |number: f32| if number == 0.0 { "<unk>" } else { &data.class_names()[number as usize - 1] };
        (data.row(row).iter().copied().map(name).collect(), &data.class_names()[data.label(row)])
    }

    #[test]
    fn a_row_is_the_words_before_a_known_word() {
        let (_folder, path) = folder(&"the cat sat. The rat, the cat! ".repeat(10));
        let dir = DataDir::find(None);
        let options = CorpusOptions { min_count: 10, ..CorpusOptions::default() };
        let splits = open_text(&path, &dir, &options, 2).unwrap();
        // 57 of the 70 words are for training: "the" and "cat" come often enough.
        assert_eq!(splits.train.class_names(), ["the", "cat"]);
        assert_eq!(words(&splits.train, 0), (vec!["cat", "<unk>"], "the"));
        assert_eq!(words(&splits.train, 1), (vec!["the", "<unk>"], "the"));
        assert_eq!(words(&splits.train, 2), (vec!["<unk>", "the"], "cat"));
        let test = open_text_like(&path, &dir, &splits.preprocessing, Some(&options)).unwrap();
        assert_eq!((test.len(), test.row(0)), (splits.test.len(), splits.test.row(0)));
        let all = open_text_like(&path, &dir, &splits.preprocessing, None).unwrap();
        assert!(all.len() > splits.train.len() + test.len());
    }

    #[test]
    fn every_file_of_a_folder_keeps_its_own_end() {
        let folder = tempfile::tempdir().unwrap();
        for (name, words) in [("one.txt", "red green "), ("two.txt", "blue white ")] {
            std::fs::write(folder.path().join(name), words.repeat(20)).unwrap();
        }
        let splits =
            open_text(&folder.path().display().to_string(), &DataDir::find(None), &CorpusOptions::default(), 1);
        let splits = splits.unwrap();
        // Of 40 words each file has 4 for the test and 4 for the validation, the first of which have no word before them.
        assert_eq!((splits.train.len(), splits.validation.len(), splits.test.len()), (62, 6, 6));
        let tested: Vec<&str> = (0..6).map(|row| words(&splits.test, row).1).collect();
        assert_eq!(tested, ["green", "red", "green", "white", "blue", "white"]);
    }

    #[test]
    fn lines_are_continued_one_by_one() {
        let (_folder, path) = folder(&"one two three four. ".repeat(30));
        let dir = DataDir::find(None);
        let preprocessing = open_text(&path, &dir, &CorpusOptions::default(), 3).unwrap().preprocessing;
        let (_other, lines) = folder("three FOUR one two\n\n--\ntwo\nelse three\n");
        let lines = open_lines_like(&lines, &dir, &preprocessing).unwrap();
        assert_eq!(lines.numbers, [1, 4, 5]);
        let context = |row| words(&lines.rows, row).0;
        assert_eq!(context(0), ["four", "one", "two"]);
        assert_eq!(context(1), ["<unk>", "<unk>", "two"]);
        assert_eq!(context(2), ["<unk>", "<unk>", "three"]);
        let (_empty, empty) = folder("\n--\n");
        assert!(open_lines_like(&empty, &dir, &preprocessing).is_err());
        let message = open_lines_like("austen", &dir, &preprocessing).unwrap_err().to_string();
        assert!(message.contains("one file"), "{message}");
    }

    #[test]
    fn rows_and_short_texts_are_refused() {
        let dir = DataDir::find(None);
        let refused = |source: &str, context| {
            open_text(source, &dir, &CorpusOptions::default(), context).unwrap_err().to_string()
        };
        assert!(refused("digits", 3).contains("running text is needed"));
        assert!(refused("austen", 0).contains("at least one word"));
        assert!(refused("missing.txt", 3).contains("no such file"));
        let (_folder, same) = folder("same same same same");
        assert!(refused(&same, 1).contains("1 different words"));
        let (_folder, short) = folder(&"one two ".repeat(12));
        assert!(refused(&short, 20).contains("no window of 20 words"));
    }

    #[test]
    fn bytes_are_rows_too() {
        let (_folder, path) = folder(&"abc".repeat(40));
        let dir = DataDir::find(None);
        let options = CorpusOptions { unit: Unit::Bytes, ..CorpusOptions::default() };
        let splits = open_text(&path, &dir, &options, 2).unwrap();
        assert_eq!(splits.train.num_classes(), 256);
        assert_eq!(splits.train.row(0), [98.0, 99.0]);
        assert_eq!(splits.train.label(0), usize::from(b'c'));
        let all = open_text_like(&path, &dir, &splits.preprocessing, None).unwrap();
        assert_eq!(all.len(), 118);
    }
}
