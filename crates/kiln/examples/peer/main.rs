//! The same work as the Python scripts in `peers/`, on the same clock: `peers/compare.py` runs the two in turns.
//!
//! ```sh
//! cargo run --release -p kiln --example peer -- --list
//! cargo run --release -p kiln --example peer -- optim/diffgrad --case diffgrad-1
//! cargo run --release -p kiln --example peer -- loss/z_loss --values
//! ```

mod aggregate_responses;
mod comp_sum;
mod convnets;
mod csv;
mod diffgrad;
mod digits_mlp;
mod ens_loss;
mod hvp;
mod laplacian;
mod ldr;
mod maps;
mod measure;
mod mnist_convnet;
mod networks;
mod ntk;
mod perceptual_similarity;
mod sharpness;
mod training;
mod transformer_ops;
mod transformers;
mod z_loss;

use measure::{Flags, Outcome};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Outcome<()> {
    let flags = Flags::from_command_line()?;
    kiln::kernels::join_pool()?;
    let benches = [
        aggregate_responses::bench(),
        comp_sum::bench(),
        convnets::bench(),
        csv::bench(),
        diffgrad::bench(),
        digits_mlp::bench(),
        ens_loss::bench(),
        hvp::bench(),
        laplacian::bench(),
        ldr::bench(),
        maps::bench(),
        mnist_convnet::bench(),
        ntk::bench(),
        perceptual_similarity::bench(),
        sharpness::bench(),
        transformer_ops::bench(),
        transformers::bench(),
        z_loss::bench(),
    ];
    if let Some(unknown) = flags.benches.iter().find(|wanted| !benches.iter().any(|bench| bench.name == **wanted)) {
        let names: Vec<&str> = benches.iter().map(|bench| bench.name).collect();
        return Err(format!("no '{unknown}'; there are: {}", names.join(", ")).into());
    }
    for bench in &benches {
        if flags.benches.is_empty() || flags.benches.iter().any(|wanted| wanted == bench.name) {
            bench.run(&flags)?;
        }
    }
    Ok(())
}
