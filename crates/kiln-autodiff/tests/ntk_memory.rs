//! How much memory a kernel takes beside itself, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Distribution, Tensor};
use kiln_autodiff::Numbers;
use kiln_autodiff::ntk::{NtkConfig, NtkOutputs, Recorder, empirical_ntk, empirical_ntk_by_jacobians};

/// The system's allocator, with the bytes that are held and the most that there were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above with the same layout, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most bytes that were held during the work beyond those before it.
fn most_bytes<T>(work: impl FnOnce() -> T) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let result = work();
    let most = MOST.load(Ordering::Relaxed) - before;
    drop(result);
    most
}

#[derive(Module, Debug)]
struct Convnet {
    first: Conv2d,
    second: Conv2d,
    last: Linear,
}

impl Convnet {
    fn new(device: &Device) -> Self {
        let convolution =
            |channels| Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Same).init(device);
        Self {
            first: convolution([1, 4]),
            second: convolution([4, 8]),
            last: LinearConfig::new(8 * 12 * 12, 5).init(device),
        }
    }

    fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<4>) -> N::T<2> {
        let x = numbers.relu(numbers.conv2d(&self.first, x));
        let x = numbers.relu(numbers.conv2d(&self.second, x));
        numbers.linear(&self.last, numbers.flatten(x, 1, 3))
    }
}

// One test: another one beside it would be counted too.
#[test]
fn the_memory_limit_is_kept() {
    let device = Device::flex();
    let net = Convnet::new(&device);
    let inputs = Tensor::<4>::random([64, 1, 12, 12], Distribution::Default, &device);
    let others = Tensor::<4>::random([40, 1, 12, 12], Distribution::Default, &device);
    let recorded = |net: &Convnet, numbers: &Recorder, x| net.forward_in(numbers, x);
    let plain = |net: &Convnet, x| net.forward_in(&kiln_autodiff::Values, x);
    let mut exceeded = Vec::new();
    for (outputs, kernel_bytes) in [(NtkOutputs::Trace, 64 * 40 * 4), (NtkOutputs::All, 320 * 200 * 4)] {
        for limit in [2_000_000, 8_000_000, 30_000_000] {
            let config = NtkConfig::new().with_outputs(outputs).with_memory_limit(limit);
            let by_layers = most_bytes(|| empirical_ntk(&net, recorded, &inputs, Some(&others), &config).unwrap());
            let by_rows =
                most_bytes(|| empirical_ntk_by_jacobians(&net, plain, &inputs, Some(&others), &config).unwrap());
            for (way, most) in [("layers", by_layers), ("rows", by_rows)] {
                println!("{outputs:?} {way}: {most} bytes of {limit}");
                // The kernel is held twice while its blocks are joined.
                if most > limit as usize + 2 * kernel_bytes {
                    exceeded.push(format!("{outputs:?} by {way} took {most} bytes of {limit}"));
                }
            }
        }
    }
    assert!(exceeded.is_empty(), "{exceeded:#?}");
}
