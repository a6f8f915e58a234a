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

/// Elements that one thread updates at a time; fewer are not worth a second thread.
pub(crate) const CHUNK: usize = 32 * 1024;

/// Elements of each piece into which so many are cut: pieces of the same length, four for each thread where they are few, so
/// that no thread waits long for another.
pub(crate) fn chunk_length(elements: usize) -> usize {
    let pieces = elements.div_ceil(CHUNK).max(4 * rayon::current_num_threads());
    elements.div_ceil(pieces).max(1)
}
