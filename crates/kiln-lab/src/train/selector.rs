//! The grammar of the command line for choosing and configuring a method: `NAME:key=value,key=value`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use kiln_data::nearest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A named method with settings, written `NAME` or `NAME:key=value,key=value`. Keys are spelt with hyphens; underscores
/// are read as such.
///
/// ```
/// use kiln_lab::train::Selector;
///
/// let selector: Selector = "comp-sum:tau=1.5".parse()?;
/// assert_eq!(selector.name(), "comp-sum");
/// assert_eq!(selector.to_string(), "comp-sum:tau=1.5");
/// # Ok::<(), kiln_lab::train::SelectorError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: String,
    settings: BTreeMap<String, String>,
}

/// A selector that cannot be read, or that names something that does not exist.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SelectorError {
    /// The text is not `NAME:key=value,...`.
    #[error("'{text}' is not NAME or NAME:key=value,key=value")]
    Grammar {
        /// The text as given.
        text: String,
    },
    /// The same key twice.
    #[error("'{text}' gives '{key}' twice")]
    Repeated {
        /// The text as given.
        text: String,
        /// The key that stands twice.
        key: String,
    },
    /// No method of that name.
    #[error("no {kind} is named '{name}'{}; there are: {}", suggestion(.nearest), .known.join(", "))]
    UnknownName {
        /// What was looked for: "loss", "optimizer", "model", ...
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The nearest right name, where one is near.
        nearest: Option<String>,
        /// All right names.
        known: Vec<String>,
    },
    /// The method has no setting of that name.
    #[error("{kind} '{name}' has no setting '{key}'{}; its settings are: {}", suggestion(.nearest), listed(.known))]
    UnknownKey {
        /// "loss", "optimizer", "model", ...
        kind: &'static str,
        /// The method.
        name: String,
        /// The key as given.
        key: String,
        /// The nearest right key, where one is near.
        nearest: Option<String>,
        /// All right keys.
        known: Vec<String>,
    },
    /// The value does not have the right form or range.
    #[error("{kind} '{name}': {key}={value} is not {expected}")]
    Value {
        /// "loss", "optimizer", "model", ...
        kind: &'static str,
        /// The method.
        name: String,
        /// The key.
        key: String,
        /// The value as given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The method learns another kind of targets.
    #[error("{kind} '{name}' is for {learns}, and the target is {targets}; for {targets} there are: {}", .known.join(", "))]
    OtherTask {
        /// "loss", "model", ...
        kind: &'static str,
        /// The method.
        name: String,
        /// What it learns: "classes" or "numbers".
        learns: &'static str,
        /// What is to be learnt.
        targets: &'static str,
        /// The methods that learn it.
        known: Vec<String>,
    },
    /// The method itself refuses the combination.
    #[error("{kind} '{name}': {message}")]
    Refused {
        /// "loss", "optimizer", "model", ...
        kind: &'static str,
        /// The method.
        name: String,
        /// The method's own message.
        message: String,
    },
}

impl Selector {
    /// A method with its default settings.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), settings: BTreeMap::new() }
    }

    /// The method's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Several selectors joined by commas: `adam,sgdm:momentum=0.9,nesterov=true,lion`. A `key=value` without a name
    /// belongs to the selector before it.
    ///
    /// # Errors
    /// [`SelectorError::Grammar`] and [`SelectorError::Repeated`] as for a single selector.
    pub fn list(text: &str) -> Result<Vec<Self>, SelectorError> {
        let mut selectors: Vec<String> = Vec::new();
        for piece in text.split(',') {
            let is_setting = piece.split_once('=').is_some_and(|(key, _)| !key.contains(':'));
            match selectors.last_mut().filter(|_| is_setting) {
                Some(selector) => {
                    selector.push(',');
                    selector.push_str(piece);
                }
                None => selectors.push(piece.to_string()),
            }
        }
        selectors.iter().map(|selector| selector.parse()).collect()
    }

    /// This selector without one setting.
    pub fn without(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    /// This selector with one setting replaced.
    pub fn with(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.settings.insert(key.into(), value.to_string());
        self
    }
}

/// Words that stand for a method with a setting.
const SHORTHANDS: [(&str, &str); 2] =
    [("aggregate:bag", "aggregate:interpolate=0"), ("aggregate:instance", "aggregate:interpolate=1")];

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let text = SHORTHANDS.iter().find(|(short, _)| *short == text).map_or(text, |(_, whole)| whole);
        let grammar = || SelectorError::Grammar { text: text.to_string() };
        let (name, list) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim();
        if name.is_empty() || name.contains('=') || text.ends_with(':') {
            return Err(grammar());
        }
        let mut settings = BTreeMap::new();
        for pair in list.split(',').filter(|_| !list.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(grammar)?;
            let (key, value) = (key.trim().replace('_', "-"), value.trim());
            if key.is_empty() || value.is_empty() {
                return Err(grammar());
            }
            if settings.insert(key.clone(), value.to_string()).is_some() {
                return Err(SelectorError::Repeated { text: text.to_string(), key });
            }
        }
        Ok(Self { name: name.to_string(), settings })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (index, (key, value)) in self.settings.iter().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One setting of a registered method, as `--help` and the book show it.
#[derive(Clone, Copy, Debug)]
pub struct SettingInfo {
    /// Name of the setting.
    pub key: &'static str,
    /// Its default, as a person would type it.
    pub default: &'static str,
    /// What it does, with its range.
    pub about: &'static str,
}

/// A method that can be chosen by name: what it is, what can be set, and how it is made.
pub struct Entry<T> {
    /// Name on the command line.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// Everything that can be set.
    pub settings: &'static [SettingInfo],
    /// Makes the method from checked settings.
    pub build: fn(&Settings<'_>) -> Result<T, SelectorError>,
}

/// All methods of one kind that can be chosen by name.
pub struct Registry<T: 'static> {
    /// "loss", "optimizer", "model", ...: the word used in messages.
    pub kind: &'static str,
    /// The methods in the order in which lists show them.
    pub entries: &'static [Entry<T>],
}

impl<T> Registry<T> {
    /// Makes the selected method.
    ///
    /// # Errors
    /// [`SelectorError`] when the name, a key or a value is not right.
    pub fn build(&self, selector: &Selector) -> Result<T, SelectorError> {
        let entry = self.entries.iter().find(|entry| entry.name == selector.name).ok_or_else(|| {
            let known: Vec<String> = self.names().map(str::to_string).collect();
            SelectorError::UnknownName {
                kind: self.kind,
                name: selector.name.clone(),
                nearest: nearest(&selector.name, self.names()).map(str::to_string),
                known,
            }
        })?;
        let settings = Settings { kind: self.kind, selector };
        for key in selector.settings.keys() {
            if !entry.settings.iter().any(|setting| setting.key == key) {
                let known = || entry.settings.iter().map(|setting| setting.key);
                return Err(SelectorError::UnknownKey {
                    kind: self.kind,
                    name: selector.name.clone(),
                    key: key.clone(),
                    nearest: nearest(key, known()).map(str::to_string),
                    known: known().map(str::to_string).collect(),
                });
            }
        }
        (entry.build)(&settings)
    }

    /// The selector with `value` for a setting that its method has and that was not given.
    ///
    /// ```
    /// use kiln_lab::train::{LOSSES, Selector};
    ///
    /// let completed = |text: &str| LOSSES.completed(&text.parse().unwrap(), "seed", 7).to_string();
    /// assert_eq!(completed("ens-loss"), "ens-loss:seed=7");
    /// assert_eq!(completed("ens-loss:seed=1"), "ens-loss:seed=1");
    /// assert_eq!(completed("hinge"), "hinge");
    /// ```
    pub fn completed(&self, selector: &Selector, key: &str, value: impl fmt::Display) -> Selector {
        let entry = self.entries.iter().find(|entry| entry.name == selector.name);
        let has = entry.is_some_and(|entry| entry.settings.iter().any(|setting| setting.key == key));
        if has && !selector.settings.contains_key(key) {
            return selector.clone().with(key, value);
        }
        selector.clone()
    }

    /// The names that can be chosen.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.entries.iter().map(|entry| entry.name)
    }
}

/// The settings of one selector, read by type.
pub struct Settings<'a> {
    kind: &'static str,
    selector: &'a Selector,
}

impl Settings<'_> {
    /// A number, or `default` where the setting is absent.
    ///
    /// # Errors
    /// [`SelectorError::Value`] when the text is not a number.
    pub fn number(&self, key: &str, default: f64) -> Result<f64, SelectorError> {
        self.parse(key, default, "a number")
    }

    /// A whole number, or `default` where the setting is absent.
    ///
    /// # Errors
    /// [`SelectorError::Value`] when the text is not a whole number of at least 0.
    pub fn whole(&self, key: &str, default: usize) -> Result<usize, SelectorError> {
        self.parse(key, default, "a whole number of at least 0")
    }

    /// `true` or `false`, or `default` where the setting is absent.
    ///
    /// # Errors
    /// [`SelectorError::Value`] when the text is neither.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, SelectorError> {
        self.parse(key, default, "true or false")
    }

    /// Whole numbers joined by `-`, such as `256-256`, or `default` where the setting is absent.
    ///
    /// # Errors
    /// [`SelectorError::Value`] when a part is not a whole number of at least 1.
    pub fn widths(&self, key: &str, default: &[usize]) -> Result<Vec<usize>, SelectorError> {
        let Some(text) = self.text(key) else { return Ok(default.to_vec()) };
        if text == "none" {
            return Ok(Vec::new());
        }
        text.split('-')
            .map(|part| part.parse().ok().filter(|width| *width >= 1))
            .collect::<Option<Vec<usize>>>()
            .ok_or_else(|| self.wrong(key, "widths of at least 1 joined by '-', such as 256-256, or none"))
    }

    /// One of `choices` by name, or the first one where the setting is absent.
    ///
    /// # Errors
    /// [`SelectorError::Value`] with the choices when the name is not among them.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<T, SelectorError> {
        let Some(text) = self.text(key) else { return Ok(choices[0].1) };
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.wrong(key, &format!("one of {}", names.join(", ")))
        })
    }

    /// The setting as it was typed.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.selector.settings.get(key).map(String::as_str)
    }

    /// An error that says that the value of `key` is not `expected`.
    pub fn wrong(&self, key: &str, expected: &str) -> SelectorError {
        SelectorError::Value {
            kind: self.kind,
            name: self.selector.name.clone(),
            key: key.to_string(),
            value: self.text(key).unwrap_or_default().to_string(),
            expected: expected.to_string(),
        }
    }

    /// The method's own refusal of its settings.
    pub fn refused(&self, message: impl fmt::Display) -> SelectorError {
        SelectorError::Refused { kind: self.kind, name: self.selector.name.clone(), message: message.to_string() }
    }

    fn parse<T: FromStr>(&self, key: &str, default: T, expected: &str) -> Result<T, SelectorError> {
        match self.text(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| self.wrong(key, expected)),
        }
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "none".to_string() } else { known.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REGISTRY: Registry<f64> = Registry {
        kind: "number",
        entries: &[Entry {
            name: "half",
            summary: "half of a value",
            settings: &[SettingInfo { key: "of", default: "1", about: "the value" }],
            build: |settings| Ok(settings.number("of", 1.0)? / 2.0),
        }],
    };

    #[test]
    fn builds_with_defaults_and_with_settings() {
        assert_eq!(REGISTRY.build(&Selector::named("half")).unwrap(), 0.5);
        assert_eq!(REGISTRY.build(&"half:of=8".parse().unwrap()).unwrap(), 4.0);
    }

    #[test]
    fn refuses_with_the_nearest_name() {
        let error = REGISTRY.build(&Selector::named("halv")).unwrap_err();
        assert_eq!(error.to_string(), "no number is named 'halv' (did you mean 'half'?); there are: half");
        let error = REGISTRY.build(&"half:off=1".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("did you mean 'of'?"), "{error}");
        let error = REGISTRY.build(&"half:of=two".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "number 'half': of=two is not a number");
    }

    #[test]
    fn refuses_what_is_not_the_grammar() {
        for text in ["", ":", "a:", "a:b", "a:b=", "a:=1", "a:b=1,", "=1"] {
            assert!(text.parse::<Selector>().is_err(), "{text:?} was accepted");
        }
        assert!(matches!("a:b=1,b=2".parse::<Selector>(), Err(SelectorError::Repeated { .. })));
    }

    #[test]
    fn a_setting_in_a_list_belongs_to_the_selector_before_it() {
        let list = Selector::list("adam,sgdm:momentum=0.9,clip_norm=1,lion:beta-1=0.9").unwrap();
        let written: Vec<String> = list.iter().map(Selector::to_string).collect();
        assert_eq!(written, ["adam", "sgdm:clip-norm=1,momentum=0.9", "lion:beta-1=0.9"]);
        for text in ["", "adam,", ",adam", "momentum=0.9", "adam,momentum=0.9"] {
            assert!(Selector::list(text).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_what_it_writes(text in ".{0,40}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
            }
        }
    }
}
