//! `--set key=value`: typed overrides of a recipe's settings.

use toml::{Table, Value};

use crate::LabError;

/// Applies overrides `key=value` to a table of settings. A key of a nested table is written with dots. The type of a
/// value is that of the value which it replaces.
///
/// # Errors
/// [`LabError::Setting`] for text without `=`, or a value of the wrong type; [`LabError::UnknownName`] with the nearest
/// key for an unknown one.
///
/// ```
/// let mut settings: toml::Table = toml::from_str("epochs = 3\nrates = [0.1, 0.2]").unwrap();
/// kiln_lab::settings::apply(&mut settings, &["epochs=5", "rates=[1, 0.5]"]).unwrap();
/// assert_eq!(settings["epochs"].as_integer(), Some(5));
/// let error = kiln_lab::settings::apply(&mut settings, &["epoch=5"]).unwrap_err();
/// assert_eq!(error.to_string(), "unknown setting `epoch`; did you mean `epochs`?");
/// ```
pub fn apply(settings: &mut Table, overrides: &[impl AsRef<str>]) -> Result<(), LabError> {
    for text in overrides.iter().map(AsRef::as_ref) {
        let (key, value) = text.split_once('=').ok_or_else(|| LabError::setting(text, "", "write it as key=value"))?;
        set(settings, key.trim(), value.trim())?;
    }
    Ok(())
}

fn set(settings: &mut Table, key: &str, text: &str) -> Result<(), LabError> {
    let known = keys(settings);
    if !known.iter().any(|name| name == key) {
        return Err(LabError::unknown("setting", key, known.iter().map(String::as_str)));
    }
    let mut path: Vec<&str> = key.split('.').collect();
    let last = path.pop().unwrap_or(key);
    let mut table = settings;
    for step in path {
        table = match table.get_mut(step) {
            Some(Value::Table(inner)) => inner,
            _ => return Err(LabError::unknown("setting", key, known.iter().map(String::as_str))),
        };
    }
    if let Some(slot) = table.get_mut(last) {
        *slot = parse(key, text, slot)?;
    }
    Ok(())
}

/// All keys of the settings, nested ones with dots.
pub fn keys(settings: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in settings {
        match value {
            Value::Table(inner) => found.extend(keys(inner).into_iter().map(|below| format!("{key}.{below}"))),
            _ => found.push(key.clone()),
        }
    }
    found
}

fn parse(key: &str, text: &str, old: &Value) -> Result<Value, LabError> {
    if let Value::String(_) = old {
        return Ok(Value::String(text.trim_matches('"').to_string()));
    }
    let literal = match old {
        Value::Array(_) if !text.starts_with('[') => format!("[{text}]"),
        _ => text.to_string(),
    };
    let refused = || LabError::setting(key, text, expectation(old));
    let parsed: Table = match toml::from_str(&format!("value = {literal}")) {
        Ok(parsed) => parsed,
        // Words in a list need no quotes on a command line.
        Err(_) if literal.starts_with('[') => return words(&literal, old).ok_or_else(refused),
        Err(_) => return Err(refused()),
    };
    match parsed.get("value") {
        Some(value) if parsed.len() == 1 => retype(value, old).ok_or_else(refused),
        _ => Err(refused()),
    }
}

fn words(literal: &str, old: &Value) -> Option<Value> {
    let Value::Array(items) = old else { return None };
    matches!(items.first(), Some(Value::String(_))).then_some(())?;
    let inner = literal.strip_prefix('[')?.strip_suffix(']')?;
    let word = |word: &str| Value::String(word.trim().trim_matches('"').to_string());
    Some(Value::Array(inner.split(',').filter(|text| !text.trim().is_empty()).map(word).collect()))
}

/// `value` with the type of `old`: a whole number may stand for a real one, nothing else is converted.
fn retype(value: &Value, old: &Value) -> Option<Value> {
    match (old, value) {
        (Value::Float(_), Value::Integer(whole)) => Some(Value::Float(*whole as f64)),
        (Value::Array(old), Value::Array(new)) => match old.first() {
            Some(first) => new.iter().map(|item| retype(item, first)).collect::<Option<Vec<_>>>().map(Value::Array),
            None => Some(value.clone()),
        },
        _ => value.same_type(old).then(|| value.clone()),
    }
}

fn expectation(old: &Value) -> String {
    let kind = match old {
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        _ => "a value",
    };
    format!("it takes {kind} such as {old}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Table {
        toml::from_str(
            "epochs = 3\nrate = 0.5\nwidths = [1, 2]\nnames = ['a']\nfast = true\ndata = 'digits'\n[inner]\ndepth = 1",
        )
        .unwrap()
    }

    #[test]
    fn every_type_can_be_set() {
        let mut table = settings();
        let overrides =
            ["epochs=5", "rate=1", "widths=3,4,5", "names=relu, tanh", "fast=false", "data=mnist", "inner.depth=7"];
        apply(&mut table, &overrides).unwrap();
        let expected: Table = toml::from_str(
            "epochs = 5\nrate = 1.0\nwidths = [3, 4, 5]\nnames = ['relu', 'tanh']\nfast = false\ndata = 'mnist'\n\
             [inner]\ndepth = 7",
        )
        .unwrap();
        assert_eq!(table, expected);
    }

    #[test]
    fn wrong_types_and_keys_are_refused_and_change_nothing() {
        for bad in
            ["epochs=1.5", "epochs=many", "epochs", "rate=fast", "fast=1", "widths=[0.5]", "inner=3", "inner.deep=3"]
        {
            let mut table = settings();
            let error = apply(&mut table, &[bad]).unwrap_err();
            assert!(error.is_usage(), "{bad}: {error}");
            assert_eq!(table, settings(), "{bad}");
        }
        let error = apply(&mut settings(), &["epochs=1.5"]).unwrap_err();
        assert_eq!(error.to_string(), "setting `epochs` cannot be `1.5`: it takes a whole number such as 3");
    }

    #[test]
    fn a_value_cannot_smuggle_in_another_key() {
        assert!(apply(&mut settings(), &["epochs=1\nrate=2.0"]).is_err());
    }
}
