use burn::tensor::activation::softmax;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Device, Int, Tensor, module};
use kiln_check::random::cases;
use kiln_check::rounding::Bounded;
use kiln_check::values;
use kiln_kernels::attention;
use proptest::prelude::*;

use crate::exactness::{assert_same_bits, exact, in_lanes, random};

fn options(is_causal: bool) -> AttentionModuleOptions {
    AttentionModuleOptions { is_causal, ..Default::default() }
}

/// One where a query sees a key, zero elsewhere.
fn seen(queries: usize, keys: usize, is_causal: bool) -> Tensor<4> {
    let row = Tensor::<1, Int>::arange(0..queries as i64, &Device::flex()).unsqueeze_dim::<2>(1);
    let col = Tensor::<1, Int>::arange(0..keys as i64, &Device::flex()).unsqueeze_dim::<2>(0);
    let last = row.expand([queries, keys]) + if is_causal { keys - queries } else { keys } as i64;
    let is_seen: Tensor<2, Bool> = col.expand([queries, keys]).lower_equal(last);
    is_seen.float().cast(DType::F64).unsqueeze()
}

fn scale_of(options: &AttentionModuleOptions, width: usize) -> f64 {
    options.scale.unwrap_or(1.0 / (width as f64).sqrt())
}

/// The formula, by Burn's elementary operations.
fn formula([query, key, value]: [Tensor<4>; 3], options: &AttentionModuleOptions) -> Tensor<4> {
    let [.., queries, width] = query.dims();
    let keys = key.dims()[2];
    let scores = query.matmul(key.swap_dims(2, 3)) * scale_of(options, width);
    let future = seen(queries, keys, options.is_causal).equal_elem(0.0).expand(scores.dims());
    softmax(scores.mask_fill(future, f32::NEG_INFINITY), 3).matmul(value)
}

/// Bounds of the output and of the gradients by query, key and value.
fn bounds(
    inputs: &[Tensor<4>; 3],
    upstream: &Tensor<4>,
    options: &AttentionModuleOptions,
) -> (Bounded<4>, [Bounded<4>; 3]) {
    let [query, key, value] = inputs.each_ref().map(Bounded::given);
    let g = Bounded::given(upstream);
    let [.., queries, width] = inputs[0].dims();
    let keys = inputs[1].dims()[2];
    let scale = scale_of(options, width);
    let (mask, blocks) = (seen(queries, keys, options.is_causal), keys.div_ceil(256));
    let by_rows = |x: Tensor<4>, y: Tensor<4>| x.matmul(y.swap_dims(2, 3));
    let by_cols = |x: Tensor<4>, y: Tensor<4>| x.swap_dims(2, 3).matmul(y);

    let scores = query.clone().bilinear(key.clone().scaled(scale), width, by_rows);
    let unseen = mask.clone().equal_elem(0.0).expand(scores.value().dims());
    // Any number may be subtracted from all scores of a row: the largest has no error.
    let exact = |number: Tensor<4>| Bounded::within(&number, &number.zeros_like(), DType::F32);
    let largest = scores.value().mask_fill(unseen, f64::NEG_INFINITY).max_dim(3);
    let only_seen = |x: Bounded<4>| x.linear(0, |x| x * mask.clone());
    let shifted = only_seen(scores.clone() - exact(largest.clone()));
    // From block to block the sums are scaled by exponentials, whose exponents add up to at most the range of the scores.
    let range = values(&shifted.value().abs().max())[0];
    let carried = |x: Bounded<4>| x.map(4.0 * blocks as f64 + range, |x| x, |x| x.ones_like());
    let powers = carried(only_seen(shifted.exp()));
    let total = powers.clone().linear(in_lanes(256) + blocks, |x| x.sum_dim(3));
    let output = powers.bilinear(value.clone(), keys + blocks, Tensor::matmul) * total.clone().recip();

    let logs = exact(largest) + total.log();
    let weights = only_seen(only_seen(scores - logs).exp());
    let along = (g.clone() * output.clone()).linear(in_lanes(width), |x| x.sum_dim(3));
    let slopes = weights.clone() * (g.clone().bilinear(value, width, by_rows) - along);
    let of_query = slopes.clone().bilinear(key, keys + blocks, Tensor::matmul).scaled(scale);
    let of_key = slopes.bilinear(query, queries + queries / 36 + 1, by_cols).scaled(scale);
    let of_value = weights.bilinear(g, queries + queries / 36 + 1, by_cols);
    (output, [of_query, of_key, of_value])
}

fn agrees(inputs: [Tensor<4>; 3], options: &AttentionModuleOptions) {
    let [query, key, value] = inputs.clone();
    let attended = attention::forward(query, key, value, options);
    let output = attended.output.clone();
    let upstream = random(output.dims());
    let gradients = attention::backward(inputs.clone(), attended, upstream.clone(), options);
    let (bounds_of_output, bounds) = bounds(&inputs, &upstream, options);

    let tracked = inputs.each_ref().map(exact);
    let expected = formula(tracked.clone(), options);
    bounds_of_output.around(&expected).assert_holds(&output, "output");
    let by_burn = (expected * upstream.cast(DType::F64).autodiff()).sum().backward();
    let parts = ["by the queries", "by the keys", "by the values"];
    for (((bounds, gradient), tracked), part) in bounds.into_iter().zip(&gradients).zip(&tracked).zip(parts) {
        bounds.around(&tracked.grad(&by_burn).unwrap()).assert_holds(gradient, part);
    }
}

fn inputs([batch_size, heads, queries, keys, width]: [usize; 5]) -> [Tensor<4>; 3] {
    let of = |len| random([batch_size, heads, len, width]);
    [of(queries), of(keys), of(keys)]
}

/// Queries, keys and values of `[batch_size, heads, len, width]` side by side.
fn joint(inputs: &[Tensor<4>; 3]) -> Tensor<3> {
    let parts = inputs.each_ref().map(|part| {
        let [batch_size, heads, len, width] = part.dims();
        part.clone().swap_dims(1, 2).reshape([batch_size, len, heads * width])
    });
    Tensor::cat(parts.to_vec(), 2)
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn output_and_gradients_are_those_of_the_formula(
        [batch_size, heads] in [1..3usize, 1..4usize],
        [queries, more_keys, width] in [1..90usize, 0..90usize, 1..40usize],
        is_causal: bool,
        scale in prop_oneof![Just(None), Just(Some(0.7))],
    ) {
        let options = AttentionModuleOptions { scale, ..options(is_causal) };
        agrees(inputs([batch_size, heads, queries, queries + more_keys, width]), &options);
    }

    #[test]
    fn a_joint_projection_is_its_parts_to_the_last_bit(
        [batch_size, heads, len, width] in [1..4usize, 1..4usize, 1..80usize, 1..40usize],
        is_causal: bool,
    ) {
        let parts = inputs([batch_size, heads, len, len, width]);
        let (qkv, options) = (joint(&parts), options(is_causal));
        let side_by_side = |tensor: Tensor<4>| tensor.swap_dims(1, 2).reshape([batch_size, len, heads * width]);

        let attended = attention::forward_joint(qkv.clone(), heads, is_causal);
        let [query, key, value] = parts.clone();
        let apart = attention::forward(query, key, value, &options);
        prop_assert!(attended.output.to_data() == side_by_side(apart.output.clone()).to_data());

        let upstream = random([batch_size, heads, len, width]);
        let gradient = attention::backward_joint(qkv, attended, side_by_side(upstream.clone()), heads, is_causal);
        let gradients = attention::backward(parts, apart, upstream, &options);
        prop_assert!(gradient.to_data() == joint(&gradients).to_data());
    }
}

#[test]
fn the_shapes_of_small_vision_transformers_are_those_of_the_formula() {
    for dims in [[2, 4, 49, 49, 16], [2, 3, 65, 65, 64]] {
        for is_causal in [false, true] {
            agrees(inputs(dims), &options(is_causal));
        }
    }
}

#[test]
fn long_sequences_are_carried_on_from_block_to_block() {
    for [queries, keys] in [[600, 600], [300, 1030], [1, 700], [513, 257]] {
        agrees(inputs([1, 2, queries, keys, 24]), &options(false));
        if queries <= keys {
            agrees(inputs([1, 2, queries, keys, 16]), &options(true));
        }
    }
}

/// The formula of these tests is that of Burn.
#[test]
fn what_burn_computes_is_what_the_kernel_computes() {
    let inputs = inputs([2, 3, 20, 31, 8]);
    for is_causal in [false, true] {
        let [query, key, value] = inputs.clone();
        let actual = attention::forward(query, key, value, &options(is_causal)).output;
        let [query, key, value] = inputs.clone().map(|part| part.cast(DType::F64));
        let expected = module::attention(query, key, value, None, None, options(is_causal));
        let (bounds, _) = bounds(&inputs, &actual, &options(is_causal));
        bounds.around(&expected).assert_holds(&actual, "output");
    }
}

#[test]
fn a_key_that_is_not_seen_has_no_influence_whatever_it_holds() {
    let [query, key, value] = inputs([1, 2, 70, 70, 16]);
    let attended = |key, value| attention::forward(query.clone(), key, value, &options(true)).output.narrow(2, 0, 50);
    let expected = attended(key.clone(), value.clone());
    let wild = |tensor: Tensor<4>| {
        tensor.slice_assign([0..1, 0..2, 50..70, 0..16], Tensor::full([1, 2, 20, 16], 1e30, &Device::flex()))
    };
    assert!(attended(wild(key), wild(value)).to_data() == expected.to_data());
}

#[test]
fn large_scores_neither_overflow_nor_divide_by_zero() {
    let [query, key, value] = inputs([1, 1, 33, 400, 16]);
    let scaled = [query * 80.0, key * 80.0, value.clone()];
    let [query, key, _] = scaled.clone();
    let attended = attention::forward(query, key, value, &options(false));
    assert!(values(&attended.output).iter().all(|value| value.is_finite()));
    let gradients = attention::backward(scaled, attended, random([1, 1, 33, 16]), &options(false));
    assert!(gradients.iter().all(|gradient| values(gradient).iter().all(|value| value.is_finite())));
}

/// Scores of minus infinity, a whole block of them and more, are those of keys that are not seen.
#[test]
fn keys_that_are_masked_out_by_their_scores_have_no_weight() {
    let (queries, keys, masked) = (80, 600, 300);
    // The first number of every query is large, and that of a masked key so far below zero that the score overflows.
    let first = |len: usize, number: f32| Tensor::<4>::full([1, 1, len, 1], number, &Device::flex());
    let rows = |first: Tensor<4>| Tensor::cat(vec![first.clone(), random([1, 1, first.dims()[2], 3])], 3);
    let query = rows(first(queries, 1e30));
    let key = rows(Tensor::cat(vec![first(masked, -1e30), first(keys - masked, 0.0)], 2));
    let value = random([1, 1, keys, 4]);
    let attended = attention::forward(query.clone(), key.clone(), value.clone(), &options(false)).output;
    let seen = |tensor: Tensor<4>| tensor.narrow(2, masked, keys - masked);
    let expected = attention::forward(query.clone(), seen(key), seen(value.clone()), &options(false)).output;
    let scale = values(&value.abs().max())[0];
    for (found, expected) in values(&attended).iter().zip(values(&expected)) {
        assert!((found - expected).abs() <= 1e-5 * scale, "{found} and {expected}");
    }
    // Where nothing is seen there is no mean of anything.
    let nothing = rows(first(5, -1e30));
    let output = attention::forward(query, nothing, random([1, 1, 5, 4]), &options(false)).output;
    assert!(values(&output).iter().all(|value| value.is_nan()));
}

#[test]
fn what_is_not_a_number_stays_that() {
    let [query, key, value] = inputs([1, 1, 3, 5, 4]);
    let query = query.slice_assign([0..1, 0..1, 1..2, 0..1], Tensor::full([1, 1, 1, 1], f32::NAN, &Device::flex()));
    let output = values(&attention::forward(query, key, value, &options(false)).output);
    assert!(output[4..8].iter().all(|value| value.is_nan()) && output[..4].iter().all(|value| value.is_finite()));
}

#[test]
fn views_of_all_kinds_are_read_as_burn_reads_them() {
    let wide = random([3, 2, 20, 24]);
    let turned = random([2, 8, 3, 20]).permute([2, 0, 3, 1]);
    let swapped = random([3, 20, 2, 8]).swap_dims(1, 2);
    agrees([wide.narrow(3, 5, 8), turned, swapped], &options(true));
    let shared = random([1, 1, 9, 8]).expand([4, 2, 9, 8]);
    agrees([shared.clone(), shared.clone().flip([2]), shared], &options(false));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let parts = inputs([2, 3, 330, 330, 16]);
    let upstream = random([2, 3, 330, 16]);
    assert_same_bits(|| {
        let [query, key, value] = parts.clone();
        let attended = attention::forward(query, key, value, &options(true));
        let output = attended.output.clone();
        let gradients = attention::backward(parts.clone(), attended, upstream.clone(), &options(true));
        [output].into_iter().chain(gradients).collect()
    });
}

#[test]
fn other_attentions_are_left_to_burn() {
    let [query, key, value] = inputs([1, 2, 5, 4, 8]);
    let applies = |options| attention::applies(&query, &key, &value, &options);
    assert!(applies(options(false)));
    // The first query sees no key.
    assert!(!applies(options(true)));
    assert!(!applies(AttentionModuleOptions { softcap: Some(1.0), ..options(false) }));
    assert!(!attention::applies_to_joint(&Tensor::zeros([1, 0, 6], &Device::flex())));
    assert!(!attention::applies_to_joint(&Tensor::zeros([1, 2, 6], (&Device::flex(), DType::F64))));
    assert!(attention::applies_to_joint(&Tensor::zeros([1, 2, 6], &Device::flex().autodiff())));
}

#[test]
#[should_panic(expected = "queries, keys and values of 4 heads do not fit 18 numbers")]
fn heads_that_do_not_fit_are_named() {
    attention::forward_joint(random([1, 2, 18]), 4, false);
}

#[test]
#[should_panic(expected = "queries [1, 2, 5, 8], keys [1, 2, 4, 8] and values [1, 2, 3, 8] do not fit")]
fn shapes_that_do_not_fit_are_named() {
    attention::forward(random([1, 2, 5, 8]), random([1, 2, 4, 8]), random([1, 2, 3, 8]), &options(false));
}
