/// The name that the user probably meant: the one nearest to `wanted`, or `None` where nothing is near.
///
/// Near means a Damerau-Levenshtein distance of at most a third of the longer name (and at least 1 is always
/// allowed), or that one name begins with the other. Case does not count. The first of equally near names wins.
///
/// ```
/// assert_eq!(kiln_data::nearest("irsi", ["wine", "iris"]), Some("iris"));
/// assert_eq!(kiln_data::nearest("qqqq", ["wine", "iris"]), None);
/// ```
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    if wanted.is_empty() {
        return None;
    }
    names
        .into_iter()
        .filter_map(|name| {
            let candidate = name.to_lowercase();
            let distance = strsim::damerau_levenshtein(&wanted, &candidate);
            let longest = wanted.chars().count().max(candidate.chars().count());
            let begins = wanted.len() >= 3
                && candidate.len() >= 3
                && (candidate.starts_with(&wanted) || wanted.starts_with(&candidate));
            (distance <= (longest / 3).max(1) || begins).then_some((distance, name))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_letter_a_missing_one_and_a_beginning_are_near() {
        let names = ["mnist", "fashion-mnist", "breast_cancer_wdbc"];
        assert_eq!(nearest("mnits", names), Some("mnist"));
        assert_eq!(nearest("Fashion_mnist", names), Some("fashion-mnist"));
        assert_eq!(nearest("breast", names), Some("breast_cancer_wdbc"));
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("xylophone", names), None);
    }
}
