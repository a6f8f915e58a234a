//! Where values lie on an axis, and which of them are named.

use super::Axis;

/// An axis with its ends fixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ruler {
    low: f64,
    high: f64,
    log: bool,
}

impl Ruler {
    /// Fits an axis to `values`; only finite ones count, and on a logarithmic axis only positive ones. `from_zero` keeps 0
    /// on a linear axis, as bars need it.
    pub fn fit(axis: &Axis, values: impl Iterator<Item = f64>, from_zero: bool) -> Self {
        let log = axis.log;
        let shown = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (mut low, mut high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low > high {
            (low, high) = if log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        if from_zero && !log {
            (low, high) = (low.min(0.0), high.max(0.0));
            if low == high {
                high = 1.0;
            }
        }
        let mut ruler = Self { low, high, log }.padded(from_zero);
        if let Some((low, high)) = axis.range.filter(|(low, high)| low < high && (!log || *low > 0.0)) {
            (ruler.low, ruler.high) = (low, high);
        }
        ruler
    }

    fn padded(self, from_zero: bool) -> Self {
        let Self { low, high, log } = self;
        if log {
            let room = ((high / low).log10() * 0.04).max(0.02);
            return Self { low: low / 10f64.powf(room), high: high * 10f64.powf(room), log };
        }
        let room = if high > low { (high - low) * 0.04 } else { high.abs().max(1.0) * 0.1 };
        let pad = |end: f64| if from_zero && end == 0.0 { 0.0 } else { room };
        Self { low: low - pad(low), high: high + pad(high), log }
    }

    /// Position of `value` from 0 at the lower end to 1 at the upper; `None` for what the axis cannot show.
    pub fn position(&self, value: f64) -> Option<f64> {
        let position = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        position.is_finite().then(|| position.clamp(-0.5, 1.5))
    }

    /// Values to name, about `count` of them, with their names.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let values = if self.log { self.log_ticks(count) } else { self.linear_ticks(count) };
        let inside = |value: &f64| self.position(*value).is_some_and(|at| (-1e-9..=1.0 + 1e-9).contains(&at));
        values.into_iter().filter(inside).map(|value| (value, tick_text(value, self.log))).collect()
    }

    fn linear_ticks(&self, count: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let size = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * size).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * size);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).take(100).map(|index| index as f64 * step).collect()
    }

    fn log_ticks(&self, count: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let decades = (self.high / self.low).log10();
        let between: &[f64] = match decades {
            d if d < 1.0 => return self.linear_ticks(count),
            d if d < 2.5 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let stride = (decades / count.max(1) as f64).ceil().max(1.0) as usize;
        let first = if stride > 1 { first + 1 } else { first };
        let decades = (first..=last).step_by(stride);
        decades.flat_map(|power| between.iter().map(move |factor| factor * 10f64.powi(power))).collect()
    }
}

/// A logarithmic axis turns to powers of ten earlier, so that its decades look alike.
fn tick_text(value: f64, log: bool) -> String {
    let size = value.abs();
    let plain = if log { 1e-3..1e4 } else { 1e-3..1e5 };
    if size != 0.0 && !plain.contains(&size) {
        let text = format!("{value:.1e}");
        text.replace(".0e", "e")
    } else {
        crate::statistics::figure((value * 1e9).round() / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(log: bool) -> Axis {
        Axis { label: String::new(), log, range: None }
    }

    #[test]
    fn ends_lie_outside_the_values() {
        for log in [false, true] {
            let ruler = Ruler::fit(&axis(log), [3.0, 40.0, f64::NAN].into_iter(), false);
            assert!(ruler.position(3.0).unwrap() > 0.0 && ruler.position(40.0).unwrap() < 1.0);
        }
    }

    #[test]
    fn degenerate_data_still_gives_an_axis() {
        for values in [vec![], vec![2.0], vec![f64::NAN], vec![0.0], vec![-1.0, -1.0], vec![1e300, -1e300]] {
            for log in [false, true] {
                let ruler = Ruler::fit(&axis(log), values.iter().copied(), true);
                assert!(ruler.low < ruler.high, "{values:?} {ruler:?}");
                assert!(ruler.ticks(5).len() < 101);
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        let names = |ruler: Ruler| ruler.ticks(5).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(Ruler { low: -0.1, high: 1.1, log: false }), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(names(Ruler { low: 0.5, high: 2e6, log: true }), ["1", "100", "1e4", "1e6"].map(String::from));
        assert_eq!(names(Ruler { low: 1.0, high: 100.0, log: true }), ["1", "2", "5", "10", "20", "50", "100"]);
    }
}
