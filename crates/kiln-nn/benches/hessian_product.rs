//! Hessian-vector products beside gradients, on a perceptron, a residual network and a vision transformer.
//!
//! Before divan's table of times stands what a product costs in gradients: time, from passes in turns, and the largest
//! memory beside that of network, batch and direction. The bars are 3 in time and 2.5 in memory.

use burn::tensor::{Device, Distribution, Int, Tensor};
use divan::Bencher;
use kiln_autodiff::layers::loss;
use kiln_autodiff::{Arithmetic, Duals, Tangent, Values, gradient, hvp};
use kiln_nn::{Activation, Network, NetworkConfig, TokenPooling, VisionTransformerSize};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn main() {
    for name in NAMES {
        ratio(name);
    }
    divan::main();
}

const NAMES: [&str; 3] = ["mlp", "resnet-20", "vit-tiny"];

/// A network, a batch and its targets.
struct Work {
    network: Network,
    inputs: Tensor<2>,
    targets: Tensor<1, Int>,
    direction: Tangent,
}

impl Work {
    fn new(name: &str) -> Self {
        let (config, shape, batch_size) = match name {
            "mlp" => (NetworkConfig::mlp([512, 512]), [1, 28, 28], 128),
            "resnet-20" => (NetworkConfig::resnet(20), [3, 32, 32], 16),
            _ => (vit_tiny(), [3, 32, 32], 4),
        };
        let device = Device::flex().autodiff();
        let network = config.init_seeded(&shape, 10, 1, &device).expect("the network fits its images");
        let features = shape.iter().product::<usize>();
        let classes: Vec<i64> = (0..batch_size as i64).map(|index| index % 10).collect();
        Self {
            direction: Tangent::random(&network, 1),
            inputs: Tensor::random([batch_size, features], Distribution::Normal(0.0, 1.0), &device),
            targets: Tensor::from_data(classes.as_slice(), &device.inner()),
            network,
        }
    }

    fn gradient(&self) -> Tangent {
        let loss = |network: &Network| {
            loss::cross_entropy(&Values, network.forward(self.inputs.clone()), self.targets.clone())
        };
        gradient(&self.network, loss).1
    }

    fn product(&self) -> Tangent {
        let loss = |network: &Network, duals: &Duals| {
            let outputs = network.forward_in(duals, duals.constant(self.inputs.clone()));
            loss::cross_entropy(duals, outputs, self.targets.clone())
        };
        hvp(&self.network, &self.direction, loss).expect("the direction is one of the network")
    }
}

fn vit_tiny() -> NetworkConfig {
    NetworkConfig::Vit {
        size: VisionTransformerSize::Tiny,
        patch_size: None,
        pooling: TokenPooling::ClassToken,
        activation: Activation::Gelu,
        dropout: 0.0,
    }
}

/// Prints the median time of a product over that of a gradient, passes in turns, and its memory over that of a gradient.
fn ratio(name: &str) {
    let work = Work::new(name);
    let (gradient, product): (Pass<'_>, Pass<'_>) = (&|| work.gradient(), &|| work.product());
    let memory = [gradient, product].map(|pass| {
        divan::black_box(pass());
        memory_of(pass)
    });
    let (mut gradients, mut products) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        gradients.push(time_of(gradient));
        products.push(time_of(product));
    }
    let (gradient, product) = (median(gradients), median(products));
    let time_ratio = product.as_secs_f64() / gradient.as_secs_f64();
    let memory_ratio = memory[1] as f64 / memory[0] as f64;
    let [gradient_mib, product_mib] = memory.map(|bytes| bytes as f64 / f64::from(1 << 20));
    println!("{name}: time {gradient:.2?} to {product:.2?}, ratio {time_ratio:.2}");
    println!("{name}: memory {gradient_mib:.1} MiB to {product_mib:.1} MiB, ratio {memory_ratio:.2}");
}

/// One gradient or one product.
type Pass<'a> = &'a dyn Fn() -> Tangent;

fn time_of(pass: Pass<'_>) -> Duration {
    let start = Instant::now();
    divan::black_box(pass());
    start.elapsed()
}

/// Largest number of bytes in use during a pass, less those in use before it.
fn memory_of(pass: Pass<'_>) -> usize {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    divan::black_box(pass());
    PEAK.load(Ordering::Relaxed) - before
}

/// The system's allocator, which counts the bytes in use.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are those of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are those of this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those of this function, and the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[divan::bench(args = NAMES, sample_count = 5)]
fn gradients(bencher: Bencher<'_, '_>, name: &str) {
    let work = Work::new(name);
    bencher.bench_local(|| work.gradient());
}

#[divan::bench(args = NAMES, sample_count = 5)]
fn hessian_products(bencher: Bencher<'_, '_>, name: &str) {
    let work = Work::new(name);
    bencher.bench_local(|| work.product());
}
