//! An attack that sees no gradients: where it beats a gradient attack, the model hides its gradients.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_nn::Network;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random search over the corners of the ball.
///
/// Every example starts at a random corner `x +- gamma`; a query flips the signs in a random run of inputs, and is kept
/// for the examples whose margin grows. The run shrinks from half the inputs to one.
///
/// Returns whether each example is still classified right at the worst corner that was found.
///
/// # Shapes
/// - `inputs`: `[batch_size, num_features]`, in `[0, 1]`
/// - `targets`: `[batch_size]`
pub(super) fn survives(
    network: &Network,
    inputs: Tensor<2>,
    targets: Tensor<1, Int>,
    gamma: f64,
    queries: usize,
    seed: u64,
) -> Vec<bool> {
    let [rows, width] = inputs.dims();
    let device = inputs.device();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut signs = random_signs(rows * width, &mut random);
    let margins = |signs: &[f32]| {
        let shift = tensor(signs, [rows, width], &device) * gamma;
        margins(network.forward((inputs.clone() + shift).clamp(0.0, 1.0)), targets.clone())
    };
    let mut reached = margins(&signs);
    for query in 0..queries {
        let left = 1.0 - query as f64 / queries as f64;
        let length = ((0.5 * width as f64 * left * left).round() as usize).clamp(1, width);
        let mut trial = signs.clone();
        for row in trial.chunks_mut(width) {
            let start = random.random_range(0..=width - length);
            row[start..start + length].iter_mut().for_each(|sign| *sign = -*sign);
        }
        let found = margins(&trial);
        for (row, (&found, reached)) in found.iter().zip(&mut reached).enumerate() {
            if found > *reached {
                *reached = found;
                signs[row * width..(row + 1) * width].copy_from_slice(&trial[row * width..(row + 1) * width]);
            }
        }
    }
    reached.into_iter().map(|margin| margin < 0.0).collect()
}

/// `max_{y' != y} s_y' - s_y` of each example: negative where it is classified right.
pub(super) fn margins(logits: Tensor<2>, targets: Tensor<1, Int>) -> Vec<f64> {
    let [_, classes] = logits.dims();
    let targets: Vec<usize> = targets.to_data().iter::<i64>().map(|target| target as usize).collect();
    let logits: Vec<f64> = logits.to_data().iter::<f64>().collect();
    logits
        .chunks(classes)
        .zip(targets)
        .map(|(row, target)| {
            let others = row.iter().enumerate().filter(|(class, _)| *class != target);
            others.fold(f64::NEG_INFINITY, |largest, (_, &score)| largest.max(score)) - row[target]
        })
        .collect()
}

fn random_signs(count: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| if random.random_range(0..2) == 0 { -1.0 } else { 1.0 }).collect()
}

fn tensor(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_nn::NetworkConfig;

    #[test]
    fn margins_are_negative_where_the_answer_is_right() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[2.0, 1.0, 0.5], [2.0, 1.0, 0.5]], &device);
        let found = margins(logits, Tensor::from_ints([0, 2], &device));
        assert_eq!(found, vec![-1.0, 1.5]);
    }

    #[test]
    fn finds_the_corner_that_flips_a_linear_model() {
        let device = Device::flex();
        let network = NetworkConfig::mlp(Vec::new()).init_seeded(&[6], 2, 3, &device).unwrap();
        let inputs = Tensor::<2>::full([4, 6], 0.5, &device);
        let right = network.forward(inputs.clone()).argmax(1).squeeze_dim::<1>(1);
        assert!(survives(&network, inputs.clone(), right.clone(), 0.0, 5, 1).iter().all(|&right| right));
        assert!(survives(&network, inputs, right, 0.5, 60, 1).iter().any(|&right| !right));
    }
}
