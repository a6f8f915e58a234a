//! How vectors of the processor cover the places of a map.

use std::mem::MaybeUninit;

/// Vectors that together hold every place of some rows once; some lanes may hold none.
///
/// Either every row begins a vector, or the vectors run across the ends of rows, over the padding between them: what takes
/// fewer.
pub(super) struct Cover {
    lanes: usize,
    /// Where each vector begins in the padded copy.
    starts: Vec<usize>,
    runs: Vec<Run>,
}

/// Lanes of a vector that hold places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The first of them, counted over all vectors.
    pub(super) start: usize,
    pub(super) place: usize,
    pub(super) len: usize,
}

impl Cover {
    /// Of `rows` by `width` places, which begin every `stride` entries of the copy.
    pub(super) fn new([rows, width]: [usize; 2], stride: usize, lanes: usize) -> Self {
        let starts: Vec<usize> = match Beginnings::new([rows, width], stride, lanes) {
            Beginnings::ByRows(_) => {
                (0..rows).flat_map(|row| (0..width).step_by(lanes).map(move |at| row * stride + at)).collect()
            }
            Beginnings::Across(vectors) => (0..vectors).map(|vector| vector * lanes).collect(),
        };
        let mut runs: Vec<Run> = Vec::new();
        for row in 0..rows {
            let mut at = 0;
            while at < width {
                let entry = row * stride + at;
                let vector = starts.partition_point(|start| *start <= entry) - 1;
                let lane = entry - starts[vector];
                let len = (lanes - lane).min(width - at);
                runs.push(Run { start: vector * lanes + lane, place: row * width + at, len });
                at += len;
            }
        }
        Self { lanes, starts, runs }
    }

    /// How many vectors [`Cover::new`] has.
    pub(super) fn vectors(places: [usize; 2], stride: usize, lanes: usize) -> usize {
        let (Beginnings::ByRows(vectors) | Beginnings::Across(vectors)) = Beginnings::new(places, stride, lanes);
        vectors
    }

    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Numbers in all vectors.
    pub(super) fn len(&self) -> usize {
        self.starts.len() * self.lanes
    }

    /// Entries of the copy that the vectors reach over.
    pub(super) fn reach(&self) -> usize {
        self.starts.last().map_or(0, |last| last + self.lanes)
    }

    /// Whether the vectors, one after another, are the places.
    pub(super) fn is_exact(&self) -> bool {
        self.runs.iter().all(|run| run.len == self.lanes)
    }

    /// The places of a map from its vectors.
    pub(super) fn gather(&self, vectors: &[f32], map: &mut [MaybeUninit<f32>]) {
        self.gather_into(vectors, |place, values| {
            map[place..place + values.len()].iter_mut().zip(values).for_each(|(place, value)| _ = place.write(*value));
        });
    }

    /// As [`Cover::gather`], with places that are given by row and column.
    pub(super) fn gather_into(&self, vectors: &[f32], mut write: impl FnMut(usize, &[f32])) {
        for run in &self.runs {
            write(run.place, &vectors[run.start..][..run.len]);
        }
    }

    /// The vectors of a map, with zeros where a lane holds no place. What was there of an earlier map of the same cover is
    /// overwritten; other lanes have to be zero.
    pub(super) fn spread(&self, map: &[f32], vectors: &mut [f32]) {
        for run in &self.runs {
            vectors[run.start..][..run.len].copy_from_slice(&map[run.place..][..run.len]);
        }
    }
}

/// Where vectors begin, and how many there are.
enum Beginnings {
    /// At the beginning of each row, and then one after another.
    ByRows(usize),
    /// One after another from the first row on.
    Across(usize),
}

impl Beginnings {
    fn new([rows, width]: [usize; 2], stride: usize, lanes: usize) -> Self {
        if rows * width == 0 {
            return Self::ByRows(0);
        }
        let by_rows = rows * width.div_ceil(lanes);
        let across = ((rows - 1) * stride + width).div_ceil(lanes);
        if by_rows <= across { Self::ByRows(by_rows) } else { Self::Across(across) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_held_once_and_meets_its_entry() {
        for rows in 0..6 {
            for width in 0..20 {
                for gap in 0..4 {
                    for lanes in [4, 16] {
                        let cover = Cover::new([rows, width], width + gap, lanes);
                        assert_eq!(cover.starts().len(), Cover::vectors([rows, width], width + gap, lanes));
                        let map: Vec<f32> = (1..=rows * width).map(|place| place as f32).collect();
                        let mut vectors = vec![0.0; cover.len()];
                        cover.spread(&map, &mut vectors);
                        let mut found = vec![MaybeUninit::new(0.0); map.len()];
                        cover.gather(&vectors, &mut found);
                        // SAFETY: all places were numbers from the start.
                        let found: Vec<f32> = found.into_iter().map(|value| unsafe { value.assume_init() }).collect();
                        assert_eq!(found, map);
                        assert_eq!(vectors.iter().sum::<f32>(), map.iter().sum::<f32>());
                        for (index, value) in vectors.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                            let (place, entry) = (*value as usize - 1, cover.starts()[index / lanes] + index % lanes);
                            assert_eq!(entry, place / width * (width + gap) + place % width);
                            assert!(entry < cover.reach());
                        }
                        if cover.is_exact() {
                            assert_eq!(vectors, map);
                        }
                    }
                }
            }
        }
    }
}
