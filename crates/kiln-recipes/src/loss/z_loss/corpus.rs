//! Running text as examples: a known word as the class, and the words before it.

use burn::tensor::{Device, Int, Tensor};
use kiln_data::DataDir;
use kiln_data::text::{self, CorpusOptions, NgramWindows, Part};
use kiln_lab::LabError;

use super::CorpusSettings;

/// Training, validation and test examples. Classes are numbered from the most frequent word on; `<unk>` is none.
pub(super) struct Corpus {
    pub train: Windows,
    pub validation: Windows,
    pub test: Windows,
    /// Number of words, which are the classes.
    pub vocabulary: usize,
    /// Running words.
    pub words: usize,
}

/// Examples of one part of the text.
pub(super) struct Windows {
    windows: NgramWindows,
    /// Windows whose target is one of the classes.
    kept: Vec<usize>,
}

impl Corpus {
    /// Reads the text. Only the `most_classes` most frequent words are classes; 0 for all. Other words still occur in
    /// contexts.
    pub(super) fn read(settings: &CorpusSettings, data: &DataDir, most_classes: usize) -> Result<Self, LabError> {
        let most = if settings.words == 0 { usize::MAX } else { settings.words };
        let options = CorpusOptions { max_tokens: Some(most), ..CorpusOptions::default() };
        let corpus = text::Corpus::open(&settings.source, data, &options)?;
        let known = corpus.vocabulary().len() - 1;
        let vocabulary = if most_classes == 0 { known } else { known.min(most_classes) };
        let part = |part| -> Result<Windows, LabError> {
            let windows = corpus.windows(part, settings.context, true)?;
            let kept = (0..windows.len()).filter(|&window| windows.target(window) as usize <= vocabulary).collect();
            Ok(Windows { windows, kept })
        };
        Ok(Self {
            train: part(Part::Train)?,
            validation: part(Part::Validation)?,
            test: part(Part::Test)?,
            vocabulary,
            words: [Part::Train, Part::Validation, Part::Test].map(|part| corpus.num_tokens(part)).iter().sum(),
        })
    }

    /// Its sizes, in words.
    pub(super) fn described(&self) -> String {
        format!(
            "{} running words, {} classes, {} training, {} validation and {} test examples",
            self.words,
            self.vocabulary,
            self.train.len(),
            self.validation.len(),
            self.test.len()
        )
    }

    /// Words that occur in contexts, `<unk>` among them.
    pub(super) fn context_words(&self) -> usize {
        self.train.words().max(self.validation.words()).max(self.test.words()).max(self.vocabulary + 1)
    }
}

impl Windows {
    /// Number of examples.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Contexts `[batch_size, context]` and target classes of some examples.
    pub(super) fn batch(&self, examples: &[usize], device: &Device) -> (Tensor<2, Int>, Vec<usize>) {
        let windows: Vec<usize> = examples.iter().map(|&example| self.kept[example]).collect();
        let (contexts, _) = self.windows.batch(&windows, device);
        (contexts, windows.iter().map(|&window| self.windows.target(window) as usize - 1).collect())
    }

    /// One more than the largest token in a context.
    fn words(&self) -> usize {
        let largest = |window| self.windows.context(window).iter().copied().max().unwrap_or(0);
        (0..self.windows.len()).map(largest).max().unwrap_or(0) as usize + 1
    }
}
