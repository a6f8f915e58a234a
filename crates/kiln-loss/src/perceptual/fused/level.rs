//! One plane of both images at one scale: the mean similarity, and its derivatives by the pixels of the first image.
//!
//! Rows pass through a pipeline that keeps, before each step along the columns, as many of them as the window is high:
//!
//! ```text
//! pixels -> moments, blurred along the row -> blurred along the columns -> similarity, its derivatives by the moments
//!        -> spread along the row -> spread along the columns -> derivatives by the pixels
//! ```

use kiln_kernels::vector::{Kernel, LANES, sum_of, vectorised};

/// A comparison of two planes.
pub(super) struct Level<'a> {
    pub(super) x: &'a [f32],
    pub(super) y: &'a [f32],
    /// Height and width.
    pub(super) dims: [usize; 2],
    /// The window along one axis, symmetric.
    pub(super) taps: &'a [f32],
    /// Constant of the luminance; none where it does not count.
    pub(super) c1: Option<f32>,
    pub(super) c2: f32,
    /// Where the derivatives go, one for each pixel of `x`.
    pub(super) slopes: Option<&'a mut [f32]>,
}

impl Level<'_> {
    /// Mean over the positions of the similarity.
    pub(super) fn mean(self) -> f32 {
        vectorised(self)
    }
}

impl Kernel for Level<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(mut self) -> f32 {
        let [height, width] = self.dims;
        let window = self.taps.len();
        let [rows, columns] = [height + 1 - window, width + 1 - window];
        let share = 1.0 / (rows * columns) as f32;
        let mean = |plane: &[f32]| sum(plane) / (height * width) as f32;
        let centre = Centre { x: mean(self.x), y: mean(self.y) };
        let measure = Measure { centre, c1: self.c1, c2: self.c2 };
        let mut blur = Blur::new(width, columns, self.taps);
        let mut spread = self.slopes.is_some().then(|| Spread::new(width, rows, self.taps));
        let mut total = 0.0_f64;
        for row in 0..height {
            let (x, y) = self.row(row);
            blur.push(row, x, y, centre);
            if row + 1 < window {
                continue;
            }
            let position = row + 1 - window;
            blur.blur_from(position);
            let Some(spread) = &mut spread else {
                total += f64::from(measure.values(&blur.blurred, columns));
                continue;
            };
            total += f64::from(measure.values_and_derivatives(&blur.blurred, columns, spread.place()));
            spread.push(position);
            self.finish(position, spread, centre, share);
        }
        if let Some(spread) = &mut spread {
            (rows..height).for_each(|row| self.finish(row, spread, centre, share));
        }
        (total * f64::from(share)) as f32
    }
}

impl Level<'_> {
    #[inline(always)]
    fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let width = self.dims[1];
        (&self.x[row * width..][..width], &self.y[row * width..][..width])
    }

    /// Derivatives by the pixels of a row to which all positions that see it have contributed.
    #[inline(always)]
    fn finish(&mut self, row: usize, spread: &mut Spread<'_>, centre: Centre, share: f32) {
        spread.gather(row);
        let width = self.dims[1];
        let [by_mean, by_sum, by_difference] = spread.gathered.each_ref().map(|row| &row[..width]);
        let Some(slopes) = &mut self.slopes else { return };
        let slopes = &mut slopes[row * width..][..width];
        let (x, y) = (&self.x[row * width..][..width], &self.y[row * width..][..width]);
        for place in 0..width {
            let (sum, difference) = centre.moments(x[place], y[place]);
            let by_squares = sum * by_sum[place] + difference * by_difference[place];
            slopes[place] = share * (by_mean[place] + 2.0 * by_squares);
        }
    }
}

/// What is taken from the pixels before their moments: the mean of either plane.
#[derive(Clone, Copy)]
struct Centre {
    x: f32,
    y: f32,
}

impl Centre {
    /// Sum and difference of two pixels.
    #[inline(always)]
    fn moments(self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (x - self.x, y - self.y);
        (x + y, x - y)
    }
}

/// Means under the window of the sum and the difference of both images and of their squares.
struct Blur<'a> {
    taps: &'a [f32],
    /// The taps in the order of the slots.
    turned: Vec<f32>,
    /// A row of the four moments, before any blur.
    moments: [Vec<f32>; 4],
    /// Rows blurred along themselves: row `r` in slot `r % window`.
    slots: [Vec<f32>; 4],
    /// A row blurred along both axes.
    blurred: [Vec<f32>; 4],
}

impl<'a> Blur<'a> {
    #[inline(always)]
    fn new(width: usize, columns: usize, taps: &'a [f32]) -> Self {
        let (lanes, window) = (columns.next_multiple_of(LANES), taps.len());
        let rows = |length: usize| std::array::from_fn(|_| vec![0.0; length]);
        let moments = rows(width.max(lanes + window - 1));
        Self { taps, turned: vec![0.0; window], moments, slots: rows(window * lanes), blurred: rows(lanes) }
    }

    #[inline(always)]
    fn push(&mut self, row: usize, x: &[f32], y: &[f32], centre: Centre) {
        let [sums, differences, sum_squares, difference_squares] =
            self.moments.each_mut().map(|row| &mut row[..x.len()]);
        for place in 0..x.len() {
            let (sum, difference) = centre.moments(x[place], y[place]);
            (sums[place], differences[place]) = (sum, difference);
            (sum_squares[place], difference_squares[place]) = (sum * sum, difference * difference);
        }
        let lanes = self.blurred[0].len();
        let slot = row % self.taps.len() * lanes;
        for (moments, slots) in self.moments.iter().zip(&mut self.slots) {
            weighted_sums(moments, 1, self.taps, &mut slots[slot..][..lanes]);
        }
    }

    /// Blurs the rows from `position` on along the columns.
    #[inline(always)]
    fn blur_from(&mut self, position: usize) {
        let window = self.taps.len();
        for (slot, weight) in self.turned.iter_mut().enumerate() {
            *weight = self.taps[(slot + window - position % window) % window];
        }
        for (slots, blurred) in self.slots.iter().zip(&mut self.blurred) {
            weighted_sums(slots, blurred.len(), &self.turned, blurred);
        }
    }
}

/// The adjoint of [`Blur`], for the derivatives by both means together and by both mean squares.
struct Spread<'a> {
    taps: &'a [f32],
    /// Rows of positions.
    rows: usize,
    turned: Vec<f32>,
    /// A row of the three derivatives, with zeros before and behind.
    derivatives: [Vec<f32>; 3],
    /// Rows spread along themselves: that of position `p` in slot `p % window`.
    slots: [Vec<f32>; 3],
    /// A row spread along both axes.
    gathered: [Vec<f32>; 3],
}

impl<'a> Spread<'a> {
    #[inline(always)]
    fn new(width: usize, rows: usize, taps: &'a [f32]) -> Self {
        let (lanes, window) = (width.next_multiple_of(LANES), taps.len());
        let zeros = |length: usize| std::array::from_fn(|_| vec![0.0; length]);
        let derivatives = zeros(lanes + LANES + window);
        let turned = vec![0.0; window];
        Self { taps, rows, turned, derivatives, slots: zeros(window * lanes), gathered: zeros(lanes) }
    }

    /// Where the derivatives of a row of positions have to stand.
    #[inline(always)]
    fn place(&mut self) -> [&mut [f32]; 3] {
        let before = self.taps.len() - 1;
        self.derivatives.each_mut().map(|row| &mut row[before..])
    }

    #[inline(always)]
    fn push(&mut self, position: usize) {
        let lanes = self.gathered[0].len();
        let slot = position % self.taps.len() * lanes;
        for (derivatives, slots) in self.derivatives.iter().zip(&mut self.slots) {
            weighted_sums(derivatives, 1, self.taps, &mut slots[slot..][..lanes]);
        }
    }

    /// Sums up what the positions that see a row of pixels contribute to it.
    #[inline(always)]
    fn gather(&mut self, row: usize) {
        let window = self.taps.len();
        for (slot, weight) in self.turned.iter_mut().enumerate() {
            let distance = (row % window + window - slot) % window;
            let is_there = distance <= row && row - distance < self.rows;
            *weight = if is_there { self.taps[distance] } else { 0.0 };
        }
        for (slots, gathered) in self.slots.iter().zip(&mut self.gathered) {
            weighted_sums(slots, gathered.len(), &self.turned, gathered);
        }
    }
}

/// The similarity at a position, as a function of the four blurred moments.
struct Measure {
    centre: Centre,
    c1: Option<f32>,
    c2: f32,
}

impl Measure {
    /// Sum over a row of positions.
    #[inline(always)]
    fn values(&self, blurred: &[Vec<f32>; 4], columns: usize) -> f32 {
        let rows = blurred.each_ref().map(|row| row.as_chunks::<LANES>().0);
        let mut sums = [0.0; LANES];
        for chunk in 0..rows[0].len() {
            let inside = columns - chunk * LANES;
            for lane in 0..LANES {
                let value = self.at(rows.map(|row| row[chunk][lane])).0;
                sums[lane] += if lane < inside { value } else { 0.0 };
            }
        }
        sum_of(sums)
    }

    /// As [`values`](Self::values), with the derivatives of each value by the means together and by the mean squares.
    #[inline(always)]
    fn values_and_derivatives(&self, blurred: &[Vec<f32>; 4], columns: usize, derivatives: [&mut [f32]; 3]) -> f32 {
        let rows = blurred.each_ref().map(|row| row.as_chunks::<LANES>().0);
        let [means, sums, differences] = derivatives.map(|row| row.as_chunks_mut::<LANES>().0);
        let mut totals = [0.0; LANES];
        for chunk in 0..rows[0].len() {
            let inside = columns - chunk * LANES;
            for lane in 0..LANES {
                let (value, [by_mean, by_sum, by_difference]) = self.at(rows.map(|row| row[chunk][lane]));
                let is_inside = lane < inside;
                totals[lane] += if is_inside { value } else { 0.0 };
                means[chunk][lane] = if is_inside { by_mean } else { 0.0 };
                sums[chunk][lane] = if is_inside { by_sum } else { 0.0 };
                differences[chunk][lane] = if is_inside { by_difference } else { 0.0 };
            }
        }
        sum_of(totals)
    }

    #[inline(always)]
    fn at(&self, [mean_s, mean_d, square_s, square_d]: [f32; 4]) -> (f32, [f32; 3]) {
        let (variance_s, variance_d) = (square_s - mean_s * mean_s, square_d - mean_d * mean_d);
        let inverse = 1.0 / (0.5 * (variance_s + variance_d) + self.c2);
        let structure = (0.5 * (variance_s - variance_d) + self.c2) * inverse;
        let by_variance_s = 0.5 * (1.0 - structure) * inverse;
        let by_variance_d = -0.5 * (1.0 + structure) * inverse;
        let by_means = -2.0 * (mean_s * by_variance_s + mean_d * by_variance_d);
        let Some(c1) = self.c1 else {
            return (structure, [by_means, by_variance_s, by_variance_d]);
        };
        let (s, d) = (mean_s + self.centre.x + self.centre.y, mean_d + self.centre.x - self.centre.y);
        let inverse = 1.0 / (0.5 * (s * s + d * d) + c1);
        let luminance = (0.5 * (s * s - d * d) + c1) * inverse;
        let by_luminance = (s * (1.0 - luminance) - d * (1.0 + luminance)) * inverse;
        let by_means = luminance * by_means + structure * by_luminance;
        (luminance * structure, [by_means, luminance * by_variance_s, luminance * by_variance_d])
    }
}

/// `output[i] = sum_t weights[t] input[i + t step]`, for whole lanes of outputs.
#[inline(always)]
fn weighted_sums(input: &[f32], step: usize, weights: &[f32], output: &mut [f32]) {
    for (chunk, output) in output.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut sums = [0.0; LANES];
        for (place, &weight) in weights.iter().enumerate() {
            let input = &input[chunk * LANES + place * step..][..LANES];
            for lane in 0..LANES {
                sums[lane] += weight * input[lane];
            }
        }
        *output = sums;
    }
}

#[inline(always)]
fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    sum_of(sums) + rest.iter().sum::<f32>()
}
