//! Structural similarity as a measure and, forward and backward, as a loss.

use burn::tensor::{DType, Device, Distribution, Tensor};
use divan::Bencher;
use kiln_loss::perceptual::{MsSsimConfig, MsSsimVariant, SsimConfig};

/// `[batch_size, channels, height, width]`.
const SHAPES: [[usize; 4]; 3] = [[16, 3, 256, 256], [64, 1, 32, 32], [1, 1, 512, 512]];

fn main() {
    divan::main();
}

fn pair(shape: [usize; 4], device: &Device) -> [Tensor<4>; 2] {
    device.seed(7);
    [(), ()].map(|()| Tensor::random(shape, Distribution::Uniform(0.0, 1.0), (device, DType::F32)))
}

fn for_shape([_, _, height, width]: [usize; 4]) -> MsSsimConfig {
    MsSsimConfig::for_size(height, width).expect("the images are large enough")
}

fn backward(bencher: Bencher<'_, '_>, shape: [usize; 4], config: &MsSsimConfig) {
    let [x, y] = pair(shape, &Device::flex().autodiff());
    let ms_ssim = config.init().expect("the settings are in range");
    bencher.bench_local(|| {
        let x = x.clone().detach().require_grad();
        let gradients = ms_ssim.forward(x.clone(), y.clone()).backward();
        x.grad(&gradients)
    });
}

#[divan::bench(args = SHAPES)]
fn ms_ssim_forward_and_backward(bencher: Bencher<'_, '_>, shape: [usize; 4]) {
    backward(bencher, shape, &for_shape(shape));
}

#[divan::bench(args = &SHAPES[1..])]
fn ms_ssim_per_pixel_forward_and_backward(bencher: Bencher<'_, '_>, shape: [usize; 4]) {
    backward(bencher, shape, &for_shape(shape).with_variant(MsSsimVariant::PerPixel));
}

#[divan::bench(args = SHAPES)]
fn ssim_forward(bencher: Bencher<'_, '_>, shape: [usize; 4]) {
    let [x, y] = pair(shape, &Device::flex());
    let ssim = SsimConfig::new().init().expect("the settings are in range");
    bencher.bench_local(|| ssim.forward(x.clone(), y.clone()));
}
