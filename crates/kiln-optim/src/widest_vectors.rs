//! Loops over slices, compiled for every vector width that the machine may have.

/// Makes a function of a loop that is marked `#[inline(always)]`: the loop is compiled for several instruction sets, and the
/// widest that the machine has is picked when it runs. A loop without reductions gives the same bits with all of them.
macro_rules! with_widest_vectors {
    (
        $(#[$meta:meta])*
        fn $run:ident<$(const $parameter:ident: $kind:ty),*>($($name:ident: $type:ty),* $(,)?) => $update:ident
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        fn $run<$(const $parameter: $kind),*>($($name: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                #[allow(clippy::too_many_arguments)]
                fn in_512_bits<$(const $parameter: $kind),*>($($name: $type),*) {
                    $update::<$($parameter),*>($($name),*)
                }
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn in_256_bits<$(const $parameter: $kind),*>($($name: $type),*) {
                    $update::<$($parameter),*>($($name),*)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the function needs nothing but the feature that was just detected.
                    return unsafe { in_512_bits::<$($parameter),*>($($name),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the function needs nothing but the feature that was just detected.
                    return unsafe { in_256_bits::<$($parameter),*>($($name),*) };
                }
            }
            $update::<$($parameter),*>($($name),*)
        }
    };
}

pub(crate) use with_widest_vectors;

/// Elements that are worth a second thread.
pub(crate) const CHUNK: usize = 8 * 1024;

/// Elements of each piece into which more than [`CHUNK`] are cut: pieces of about the same length, none shorter than that, and
/// no more than let threads of unlike speed end together. Memory is read faster in long pieces.
pub(crate) fn chunk_length(elements: usize) -> usize {
    let pieces = elements.div_ceil(CHUNK).min(PIECES_OF_THREAD * rayon::current_num_threads());
    elements.div_ceil(pieces.max(1)).max(1)
}

const PIECES_OF_THREAD: usize = 8;
