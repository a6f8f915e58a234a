//! Derivatives with respect to the parameters.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use kiln_autodiff::layers::loss;
use kiln_autodiff::{Arithmetic, Duals, Number, Numbers, Tangent, Values, gnvp, gradient, hvp, per_example_gradients};
use kiln_check::{assert_close, assert_near, values};
use kiln_nn::{Activation, MlpNorm, Network, NetworkConfig, Shortcut};

use crate::differences::{STEP, assert_relatively_close, relative_error, slope};
use crate::networks::{all, init, mlp, resnet, targets, tensor};

/// A module whose outputs `[batch_size, num_classes]` are compared with the classes of a batch.
pub struct Problem<M, O, F> {
    pub module: M,
    /// Outputs in dual numbers.
    pub outputs: O,
    /// Outputs by the ordinary pass.
    pub forward: F,
    pub targets: Tensor<1, Int>,
}

impl<M: Module, O: Fn(&M, &Duals) -> Number<2>, F: Fn(&M) -> Tensor<2>> Problem<M, O, F> {
    /// Of length 1, so that the step of the differences is small for modules of any size.
    fn direction(&self, seed: u64) -> Tangent {
        let direction = Tangent::random(&self.module, seed);
        direction.scale(1.0 / direction.norm())
    }

    fn loss(&self, duals: &Duals, outputs: Number<2>) -> Number<1> {
        loss::cross_entropy(duals, outputs, self.targets.clone())
    }

    fn hessian_product(&self, direction: &Tangent) -> Tangent {
        hvp(&self.module, direction, |module, duals| self.loss(duals, (self.outputs)(module, duals))).unwrap()
    }

    /// The gradient by the ordinary pass at `theta + h direction`.
    fn gradient_at(&self, direction: &Tangent, h: f64) -> Tensor<1> {
        let moved = direction.displace(&self.module, h).unwrap();
        let loss = |moved: &M| loss::cross_entropy(&Values, (self.forward)(moved), self.targets.clone());
        gradient(&moved, loss).1.to_flat()
    }

    /// First derivatives and Hessian products against differences of the ordinary pass.
    #[track_caller]
    pub fn check_products(&self) {
        let direction = self.direction(1);
        let duals = Duals::new().with_parameters(&direction);
        let outputs = (self.outputs)(&self.module, &duals);
        let moved = |h: f64| (self.forward)(&direction.displace(&self.module, h).unwrap()).inner();
        assert_relatively_close(&values(&duals.tangent(&outputs)), &slope(STEP, moved));

        let product = self.hessian_product(&direction);
        assert_relatively_close(&values(&product.to_flat()), &slope(STEP, |h| self.gradient_at(&direction, h)));
    }

    /// `J' H J v`, with `J v` by differences, `H` in closed form and `J'` by the ordinary backward pass.
    #[track_caller]
    pub fn check_gauss_newton(&self) {
        let [u, v] = [1, 2].map(|seed| self.direction(seed));
        let product = |direction: &Tangent| {
            gnvp(&self.module, direction, &self.outputs, |duals, outputs| self.loss(duals, outputs)).unwrap()
        };
        let (by_u, by_v) = (product(&u), product(&v));
        let size = by_u.dot(&u).unwrap();
        assert!(size > 0.0);
        assert_near(by_u.dot(&v).unwrap() / size, u.dot(&by_v).unwrap() / size, 1e-9);

        let outputs = (self.forward)(&self.module).inner();
        let dims = outputs.dims();
        let moved = slope(STEP, |h| (self.forward)(&u.displace(&self.module, h).unwrap()).inner());
        let moved =
            Tensor::<2>::from_data(burn::tensor::TensorData::new(moved, dims), (&outputs.device(), outputs.dtype()));
        let p = Values.softmax(outputs, 1);
        let mean = (p.clone() * moved.clone()).sum_dim(1);
        let curved = p * (moved - mean) / dims[0] as f64;
        let expected = gradient(&self.module, |module| {
            let outputs = (self.forward)(module);
            let curved = if outputs.is_autodiff() { curved.clone().autodiff() } else { curved.clone() };
            (outputs * curved).sum()
        });
        assert_relatively_close(&values(&by_u.to_flat()), &values(&expected.1.to_flat()));
    }
}

fn problem(
    network: Network,
    inputs: Tensor<2>,
) -> Problem<Network, impl Fn(&Network, &Duals) -> Number<2>, impl Fn(&Network) -> Tensor<2>> {
    let plain = inputs.clone();
    Problem {
        module: network,
        outputs: move |network: &Network, duals: &Duals| network.forward_in(duals, duals.constant(inputs.clone())),
        forward: move |network: &Network| network.forward(plain.clone()),
        targets: targets(),
    }
}

#[test]
fn hessian_products() {
    for config in all() {
        println!("{config:?}");
        problem(init(&config, 8, &Device::flex()), tensor([4, 64], 1)).check_products();
    }
}

#[test]
fn hessian_products_through_the_statistics_of_the_batch() {
    for config in with_batch_statistics() {
        println!("{config:?}");
        // On an autodiff device, so that batch normalisation follows its flag.
        let network = init(&config, 8, &Device::flex().autodiff());
        problem(network, tensor([4, 64], 1).autodiff()).check_products();
    }
}

fn with_batch_statistics() -> Vec<NetworkConfig> {
    vec![
        mlp(MlpNorm::Batch, Activation::Gelu),
        mlp(MlpNorm::Batch, Activation::Relu),
        NetworkConfig::ConvNet { channels: [4, 6, 8], activation: Activation::Relu, dropout: 0.0 },
        resnet(8, Shortcut::Padding, Activation::Silu),
        resnet(8, Shortcut::Projection, Activation::Relu),
        resnet(18, Shortcut::Projection, Activation::Silu),
    ]
}

/// The error of a single difference falls with the square of its step, until rounding ends it: what is off is the
/// difference, not the product.
#[test]
fn what_single_differences_miss_is_their_truncation() {
    let config = resnet(18, Shortcut::Projection, Activation::Silu);
    let network = init(&config, 8, &Device::flex().autodiff());
    let problem = problem(network, tensor([4, 64], 1).autodiff());
    let direction = problem.direction(1);
    let product = values(&problem.hessian_product(&direction).to_flat());
    let error = |h: f64| {
        let difference = (problem.gradient_at(&direction, h) - problem.gradient_at(&direction, -h)) / (2.0 * h);
        relative_error(&product, &values(&difference))
    };
    let errors: Vec<f64> = (0..4).map(|halvings| error(3.2e-4 / f64::from(1u32 << halvings))).collect();
    println!("relative errors at half the step each: {errors:?}");
    for pair in errors.windows(2) {
        let ratio = pair[0] / pair[1];
        assert!((3.5..4.5).contains(&ratio), "the square of the step falls by 4, the errors {errors:?}");
    }
}

#[test]
fn gauss_newton_products() {
    for config in all() {
        println!("{config:?}");
        problem(init(&config, 8, &Device::flex()), tensor([4, 64], 1)).check_gauss_newton();
    }
}

#[test]
fn gauss_newton_is_the_hessian_of_a_linear_model() {
    let problem = problem(init(&NetworkConfig::mlp([]), 8, &Device::flex()), tensor([4, 64], 1));
    let direction = problem.direction(1);
    let product = gnvp(&problem.module, &direction, &problem.outputs, |duals, x| problem.loss(duals, x)).unwrap();
    let hessian = problem.hessian_product(&direction);
    assert_close(&values(&product.to_flat()), &values(&hessian.to_flat()), 1e-12);
}

#[test]
fn gradients_of_single_examples() {
    for config in all() {
        println!("{config:?}");
        let network = init(&config, 8, &Device::flex());
        let inputs = tensor([4, 64], 1);
        let loss_of = |network: &Network, example: usize| {
            let outputs = network.forward(inputs.clone().narrow(0, example, 1));
            loss::cross_entropy(&Values, outputs, targets().narrow(0, example, 1))
        };
        let gradients = per_example_gradients(&network, 4, loss_of);
        let problem = problem(network, inputs.clone());
        let direction = problem.direction(1);
        let slopes = gradients.clone().matmul(direction.to_flat().unsqueeze_dim(1));
        let losses = |h: f64| {
            let moved = direction.displace(&problem.module, h).unwrap();
            Tensor::cat((0..4).map(|example| loss_of(&moved, example)).collect(), 0)
        };
        assert_relatively_close(&values(&slopes), &slope(STEP, losses));
        let mean = gradients.mean_dim(0);
        assert_close(&values(&mean), &values(&problem.gradient_at(&direction, 0.0)), 1e-12);
    }
}

#[test]
fn derivatives_leave_running_statistics_alone() {
    let config = NetworkConfig::conv_net();
    let network = init(&config, 8, &Device::flex().autodiff());
    let output = |network: &Network| values(&network.valid().forward(tensor([4, 64], 1)));
    let before = output(&network);
    let problem = problem(network, tensor([4, 64], 1).autodiff());
    problem.hessian_product(&problem.direction(1));
    assert_eq!(output(&problem.module), before);
}
