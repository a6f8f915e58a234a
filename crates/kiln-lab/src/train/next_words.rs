//! How well the next word is predicted, and which words are the likeliest.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use kiln_data::ArrayDataset;
use kiln_loss::RankCounts;
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use crate::LabError;

/// Quality of the predictions of the next word. A word's rank is 1 plus the number of words with a higher score; those with
/// the same score count half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextWordFigures {
    /// Number of predicted words. `<unk>` is never to be predicted.
    pub examples: usize,
    /// Fraction of words whose rank is above 1.
    pub top_1_error: f64,
    /// Fraction of words whose rank is above 5.
    pub top_5_error: f64,
    /// Fraction of words whose rank is above 10.
    pub top_10_error: f64,
    /// Fraction of words whose rank is above 50.
    pub top_50_error: f64,
    /// Mean of `1 / rank`, in `(0, 1]`.
    pub mean_reciprocal_rank: f64,
    /// `exp` of the mean negative log-probability of the word; nothing where the model gives no probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
}

impl NextWordFigures {
    /// The numbers of likeliest words among which a word is looked for.
    pub const KS: [usize; 4] = [1, 5, 10, 50];

    /// Judges `network` on the rows of `data`; its softmax is taken for a probability where it `gives_probabilities`.
    ///
    /// # Errors
    /// [`LabError::Method`] where a score is not a number, or there is no row.
    pub fn of(
        network: &Network,
        data: &ArrayDataset,
        gives_probabilities: bool,
        device: &Device,
    ) -> Result<Self, LabError> {
        let mut judge = Judge::new()?;
        for rows in blocks(data) {
            let scores = network.forward(data.inputs(&rows, device));
            judge.add(scores, &rows.iter().map(|&row| data.label(row)).collect::<Vec<_>>())?;
        }
        Ok(judge.figures(gives_probabilities))
    }

    /// The same of predictions that know nothing but how often each word comes in `train`, once more than counted so that
    /// none is impossible.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_frequencies(train: &ArrayDataset, data: &ArrayDataset, device: &Device) -> Result<Self, LabError> {
        let logits: Vec<f32> = train.class_counts().into_iter().map(|count| (count as f32 + 1.0).ln()).collect();
        let logits = Tensor::<1>::from_data(logits.as_slice(), device).unsqueeze::<2>();
        let mut judge = Judge::new()?;
        for rows in blocks(data) {
            let scores = logits.clone().expand([rows.len(), train.num_classes()]);
            judge.add(scores, &rows.iter().map(|&row| data.label(row)).collect::<Vec<_>>())?;
        }
        Ok(judge.figures(true))
    }

    /// `(k, top-k error)` of each of [`KS`](Self::KS).
    pub fn top_k_errors(&self) -> [(usize, f64); 4] {
        let [one, five, ten, fifty] = Self::KS;
        [(one, self.top_1_error), (five, self.top_5_error), (ten, self.top_10_error), (fifty, self.top_50_error)]
    }
}

/// The `k` likeliest next words of every row with their scores, the best first, equal ones in the order of the classes: their
/// probabilities where the network's softmax `gives_probabilities`, else the scores as they are.
///
/// # Errors
/// [`LabError::Method`] where a score cannot be read or is not a number.
pub fn likeliest_words(
    network: &Network,
    data: &ArrayDataset,
    k: usize,
    gives_probabilities: bool,
    device: &Device,
) -> Result<Vec<Vec<(usize, f64)>>, LabError> {
    let mut best = Vec::with_capacity(data.len());
    for rows in blocks(data) {
        let scores = network.forward(data.inputs(&rows, device));
        let scores = if gives_probabilities { log_softmax(scores, 1).exp() } else { scores };
        let values: Vec<f64> = scores.into_data().iter::<f64>().collect();
        best.extend(values.chunks(data.num_classes()).map(|row| best_of(row, k)));
    }
    match best.iter().flatten().find(|(_, score)| score.is_nan()) {
        None => Ok(best),
        Some((class, _)) => {
            Err(LabError::method(format!("the score of `{}` is not a number", data.class_names()[*class])))
        }
    }
}

fn best_of(row: &[f64], k: usize) -> Vec<(usize, f64)> {
    let mut ranked: Vec<(usize, f64)> = row.iter().copied().enumerate().collect();
    // What is not a number comes first, so that it is not overlooked.
    ranked.sort_unstable_by(|a, b| b.1.is_nan().cmp(&a.1.is_nan()).then(b.1.total_cmp(&a.1)).then(a.0.cmp(&b.0)));
    ranked.truncate(k);
    ranked
}

/// Rows that are scored together: as many as keep the scores of all words within some megabytes.
fn blocks(data: &ArrayDataset) -> Vec<Vec<usize>> {
    const SCORES: usize = 1 << 22;
    let size = (SCORES / data.num_classes().max(1)).clamp(1, 512);
    (0..data.len()).collect::<Vec<_>>().chunks(size).map(<[usize]>::to_vec).collect()
}

/// Gathers figures block by block.
struct Judge {
    ranks: RankCounts,
    log_likelihood: f64,
}

impl Judge {
    fn new() -> Result<Self, LabError> {
        let ranks = RankCounts::new(&NextWordFigures::KS).map_err(LabError::method)?;
        Ok(Self { ranks, log_likelihood: 0.0 })
    }

    fn add(&mut self, scores: Tensor<2>, classes: &[usize]) -> Result<(), LabError> {
        let targets: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
        let targets = Tensor::<1, burn::tensor::Int>::from_data(targets.as_slice(), &scores.device());
        let own = log_softmax(scores.clone(), 1).gather(1, targets.unsqueeze_dim(1));
        self.log_likelihood += own.into_data().iter::<f64>().sum::<f64>();
        self.ranks.add(scores, classes).map_err(LabError::method)
    }

    fn figures(self, gives_probabilities: bool) -> NextWordFigures {
        let found = self.ranks.metrics();
        let error = |k: usize| found.top_k_error.iter().find(|(known, _)| *known == k).map_or(1.0, |(_, error)| *error);
        NextWordFigures {
            examples: found.examples as usize,
            top_1_error: error(1),
            top_5_error: error(5),
            top_10_error: error(10),
            top_50_error: error(50),
            mean_reciprocal_rank: found.mean_reciprocal_rank,
            perplexity: gives_probabilities.then(|| (-self.log_likelihood / found.examples as f64).exp()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::{DataDir, open_text, text::CorpusOptions};

    fn text(words: &str) -> kiln_data::Splits {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.txt");
        std::fs::write(&path, words).unwrap();
        let options = CorpusOptions { min_count: 1, test: 0.25, validation: 0.2, ..CorpusOptions::default() };
        open_text(&path.display().to_string(), &DataDir::find(None), &options, 1).unwrap()
    }

    #[test]
    fn frequencies_predict_the_most_frequent_word() {
        // 20 words: 12 to train, 3 to validate, 5 to test. Of the training words but the first, 6 are a, 4 are b, 1 is c.
        let splits = text("b a b a b a c a b a b a  a a a  a b c a b");
        let device = Device::flex();
        let found = NextWordFigures::of_frequencies(&splits.train, &splits.test, &device).unwrap();
        // The four test words are b, c, a, b.
        assert_eq!((found.examples, found.top_1_error, found.top_5_error), (4, 0.75, 0.0));
        assert!((found.mean_reciprocal_rank - (0.5 + 1.0 / 3.0 + 1.0 + 0.5) / 4.0).abs() < 1e-6);
        let probability = [5.0 / 14.0, 2.0 / 14.0, 7.0 / 14.0, 5.0 / 14.0_f64];
        let expected = (-probability.iter().map(|p| p.ln()).sum::<f64>() / 4.0).exp();
        assert!((found.perplexity.unwrap() - expected).abs() < 1e-4, "{found:?}, {expected}");
    }

    #[test]
    fn words_are_listed_from_the_best_on() {
        assert_eq!(best_of(&[0.1, 0.6, 0.1, 0.2], 3), [(1, 0.6), (3, 0.2), (0, 0.1)]);
        assert!(best_of(&[0.1, f64::NAN, 0.3], 1)[0].1.is_nan());
    }
}
