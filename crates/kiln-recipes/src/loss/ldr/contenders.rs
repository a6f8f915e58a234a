//! The losses that are compared, each with its settings to choose from.

use kiln_lab::LabError;
use kiln_lab::train::{LOSSES, Selector};
use serde::{Deserialize, Serialize};

/// Names of the losses that the claims are about.
pub(super) const ADAPTIVE: &str = "ALDR-KL";
pub(super) const FIXED: &str = "LDR-KL";
pub(super) const CROSS_ENTROPY: &str = "CE";

const ADAPTIVE_PATTERN: &str = "ldr:variant=adaptive,lambda0={},alpha=2,margin=0.1,normalize=l1,mode=alternating";

/// A loss with the settings among which the validation split chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// Name in tables.
    pub name: String,
    /// The loss with each of its settings.
    pub losses: Vec<Selector>,
    /// Learning rates to choose from beside those that all losses have.
    #[serde(default)]
    pub further_rates: Vec<f64>,
}

impl Contender {
    /// The name with one selector for each of `values`, written where `{}` stands.
    fn over(name: &str, pattern: &str, values: &[&str]) -> Self {
        let losses = values.iter().map(|value| selector(&pattern.replace("{}", value)));
        Self { name: name.into(), losses: losses.collect(), further_rates: Vec::new() }
    }

    fn single(name: &str, text: &str) -> Self {
        Self { name: name.into(), losses: vec![selector(text)], further_rates: Vec::new() }
    }

    fn also_at(mut self, rate: f64) -> Self {
        self.further_rates.push(rate);
        self
    }

    /// Learning rates to choose from, in increasing order.
    pub(super) fn rates(&self, common: &[f64]) -> Vec<f64> {
        let mut rates: Vec<f64> = common.iter().chain(&self.further_rates).copied().collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    /// The settings of one of the losses that are not the same in all of them, empty where there is one loss.
    pub(super) fn varied(&self, loss: &Selector) -> String {
        let all: Vec<String> = self.losses.iter().map(Selector::to_string).collect();
        let parts = |text: &str| -> Vec<String> {
            text.split_once(':').map_or(Vec::new(), |(_, parts)| parts.split(',').map(String::from).collect())
        };
        let everywhere = |part: &String| all.iter().all(|text| parts(text).contains(part));
        let own = parts(&loss.to_string());
        own.into_iter().filter(|part| !everywhere(part)).collect::<Vec<_>>().join(",")
    }

    /// That every selector names a loss.
    pub(super) fn check(&self) -> Result<(), LabError> {
        if self.losses.is_empty() {
            return Err(LabError::setting("contenders", &self.name, "a loss with at least one choice of settings"));
        }
        if let Some(rate) = self.further_rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
            return Err(LabError::setting("contenders", rate, "learning rates above 0"));
        }
        self.losses.iter().try_for_each(|loss| LOSSES.build(loss).map(drop)).map_err(LabError::from)
    }
}

fn selector(text: &str) -> Selector {
    text.parse().expect("the recipe's own selectors are well-formed")
}

/// The fifteen losses of the paper's table with its grids. `epochs` decides when rows may be given up.
pub(super) fn all(epochs: usize) -> Vec<Contender> {
    const TEMPERATURES: [&str; 3] = ["0.1", "1", "10"];
    const MARGINS: [&str; 3] = ["0.1", "1", "10"];
    const POWERS: [&str; 3] = ["0.05", "0.7", "0.95"];
    let mixed = |name: &str, loss: &str| {
        let pairs = [("0.1", "9.9"), ("5", "5"), ("9.9", "0.1")];
        let text = |(active, passive)| format!("active-passive:loss={loss},active={active},passive={passive}");
        let losses = pairs.into_iter().map(|pair| selector(&text(pair))).collect();
        // Weights that add up to ten want smaller steps.
        Contender { name: name.into(), losses, further_rates: vec![0.003] }
    };
    let every = (epochs / 10).max(1);
    let truncated = format!("truncated-gce:q={{}},kappa=0.5,start={},every={every}", epochs / 2);
    vec![
        Contender::over(ADAPTIVE, ADAPTIVE_PATTERN, &TEMPERATURES),
        Contender::over(FIXED, "ldr:variant=kl,lambda={},margin=0.1,normalize=softplus", &TEMPERATURES),
        Contender::single(CROSS_ENTROPY, "cross-entropy"),
        Contender::over("SCE", "symmetric-cross-entropy:balance={}", &["0.05", "0.5", "0.95"]),
        Contender::over("GCE", "gce:q={}", &POWERS),
        Contender::over("TGCE", &truncated, &POWERS),
        Contender::over("WW", "weston-watkins:margin={}", &MARGINS),
        Contender::over("JS", "jensen-shannon:weight={}", &["0.1", "0.5", "0.9"]),
        Contender::over("CS", "crammer-singer:margin={}", &MARGINS),
        // The slopes of the next one and of MAE vanish at both ends, so that they may want larger steps.
        Contender::over("RLL", "robust-log:offset={}", &MARGINS).also_at(3.0),
        mixed("NCE+RCE", "rce"),
        mixed("NCE+AUL", "aul"),
        mixed("NCE+AGCE", "agce"),
        Contender::single("MSE", "brier"),
        Contender::single("MAE", "mae").also_at(3.0),
    ]
}

/// ALDR-KL at the one temperature that needs no choice, for a search as small as cross-entropy's.
pub(super) fn untuned() -> Contender {
    Contender::over(ADAPTIVE, ADAPTIVE_PATTERN, &["1"])
}

/// Six of them with one choice or two, for a look in two minutes.
pub(super) fn few(epochs: usize) -> Vec<Contender> {
    let keep = [ADAPTIVE, FIXED, CROSS_ENTROPY, "SCE", "GCE", "MAE"];
    let mut few: Vec<Contender> =
        all(epochs).into_iter().filter(|contender| keep.contains(&contender.name.as_str())).collect();
    for contender in &mut few {
        let last = contender.losses.len() - 1;
        contender.losses = if last == 0 { contender.losses.clone() } else { contender.losses[last - 1..].to_vec() };
    }
    few
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_fifteen_losses_and_all_of_them_exist() {
        let contenders = all(30);
        assert_eq!(contenders.len(), 15);
        contenders.iter().for_each(|contender| contender.check().unwrap());
        let truncated = contenders.iter().find(|contender| contender.name == "TGCE").unwrap();
        assert_eq!(truncated.losses[0].to_string(), "truncated-gce:every=3,kappa=0.5,q=0.05,start=15");
        assert_eq!(few(30).len(), 6);
    }

    #[test]
    fn what_varies_among_the_choices_is_told() {
        let contenders = all(30);
        let of = |name: &str| contenders.iter().find(|contender| contender.name == name).unwrap();
        assert_eq!(of("GCE").varied(&of("GCE").losses[1]), "q=0.7");
        assert_eq!(of("NCE+RCE").varied(&of("NCE+RCE").losses[0]), "active=0.1,passive=9.9");
        assert_eq!(of("CE").varied(&of("CE").losses[0]), "");
        assert_eq!(of("MAE").rates(&[0.01, 0.3]), [0.01, 0.3, 3.0]);
        assert!(of(ADAPTIVE).losses.contains(&untuned().losses[0]));
    }
}
