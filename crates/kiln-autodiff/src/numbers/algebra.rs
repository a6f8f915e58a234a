//! Multiplication tables of the truncated polynomial algebras.

use std::fmt::Debug;

/// A commutative algebra of truncated polynomials `a = a_0 + sum_p a_p`, where `a_0` is the value and each part `a_p`
/// holds a block of components that are nilpotent.
///
/// ```text
/// (a b)_0 = a_0 b_0
/// (a b)_p = a_0 b_p + a_p b_0 + sum over the products into p of factor * pairing(a_left, b_right)
/// ```
pub trait Algebra: Clone + Debug + Send + Sync {
    /// Number of components of each part.
    fn widths(&self) -> &[usize];

    /// Products of two parts that do not vanish. Symmetric: with `(left, right)` it holds `(right, left)`.
    fn products(&self) -> &[Product];

    /// Largest power of a number without value that does not vanish.
    fn order(&self) -> usize;
}

/// One entry of a multiplication table: `factor * pairing(a_left, b_right)` is added to part `into`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// Part of the left factor.
    pub left: usize,
    /// Part of the right factor.
    pub right: usize,
    /// Part of the result.
    pub into: usize,
    /// Coefficient.
    pub factor: f64,
    /// Which components meet.
    pub pairing: Pairing,
}

/// Which components of two parts are multiplied, and where the products go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// One component each.
    Single,
    /// `sum_i a_i b_i`: one component.
    Trace,
    /// `a_i b_j + a_j b_i` for `i <= j`: `d (d + 1) / 2` components, `(0, 0), (0, 1), .., (1, 1), ..`.
    Pairs,
}

/// First derivatives in `k` directions: one part of width `k`, all products vanish.
#[derive(Debug, Clone, PartialEq)]
pub struct DualAlgebra {
    widths: [usize; 1],
}

impl DualAlgebra {
    pub(crate) fn new(directions: usize) -> Self {
        assert!(directions > 0, "dual numbers need at least one direction");
        Self { widths: [directions] }
    }
}

impl Algebra for DualAlgebra {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn products(&self) -> &[Product] {
        &[]
    }

    fn order(&self) -> usize {
        1
    }
}

/// Taylor coefficients of order 1 to `n`: part `p` is the coefficient of `t^(p + 1)`.
#[derive(Debug, Clone, PartialEq)]
pub struct JetAlgebra {
    widths: Vec<usize>,
    products: Vec<Product>,
}

impl JetAlgebra {
    pub(crate) fn new(order: usize) -> Self {
        assert!(order > 0, "jets need an order of at least 1");
        let powers = |total: usize| (1..total).map(move |left| (left, total - left, total));
        let products = (2..=order)
            .flat_map(powers)
            .map(|(left, right, total)| Product {
                left: left - 1,
                right: right - 1,
                into: total - 1,
                factor: 1.0,
                pairing: Pairing::Single,
            })
            .collect();
        Self { widths: vec![1; order], products }
    }
}

impl Algebra for JetAlgebra {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn products(&self) -> &[Product] {
        &self.products
    }

    fn order(&self) -> usize {
        self.widths.len()
    }
}

/// First derivatives in `d` directions, and the sum over the directions of the second derivatives.
///
/// ```text
/// (a b)_trace = a_0 b_trace + a_trace b_0 + 2 sum_i a_i b_i
/// ```
/// `d + 2` components, where the whole Hessian has `1 + d + d (d + 1) / 2`.
#[derive(Debug, Clone, PartialEq)]
pub struct LaplacianAlgebra {
    widths: [usize; 2],
}

impl LaplacianAlgebra {
    const PRODUCTS: [Product; 1] = [Product { left: 0, right: 0, into: 1, factor: 2.0, pairing: Pairing::Trace }];

    pub(crate) fn new(directions: usize) -> Self {
        assert!(directions > 0, "a Laplacian needs at least one direction");
        Self { widths: [directions, 1] }
    }
}

impl Algebra for LaplacianAlgebra {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn products(&self) -> &[Product] {
        &Self::PRODUCTS
    }

    fn order(&self) -> usize {
        2
    }
}

/// First derivatives in `d` directions and second derivatives of all pairs `i <= j`.
///
/// ```text
/// (a b)_ij = a_0 b_ij + a_ij b_0 + a_i b_j + a_j b_i
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HessianAlgebra {
    widths: [usize; 2],
}

impl HessianAlgebra {
    const PRODUCTS: [Product; 1] = [Product { left: 0, right: 0, into: 1, factor: 1.0, pairing: Pairing::Pairs }];

    pub(crate) fn new(directions: usize) -> Self {
        assert!(directions > 0, "a Hessian needs at least one direction");
        Self { widths: [directions, directions * (directions + 1) / 2] }
    }
}

impl Algebra for HessianAlgebra {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn products(&self) -> &[Product] {
        &Self::PRODUCTS
    }

    fn order(&self) -> usize {
        2
    }
}

/// The pairs `i <= j` below `count`, in the order of [`Pairing::Pairs`].
pub(crate) fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |i| (i..count).map(move |j| (i, j)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jets_multiply_as_polynomials() {
        let jets = JetAlgebra::new(4);
        let into = |part: usize| jets.products().iter().filter(|product| product.into == part).count();
        assert_eq!([into(0), into(1), into(2), into(3)], [0, 1, 2, 3]);
        assert!(jets.products().iter().all(|product| product.left + product.right + 1 == product.into));
    }

    #[test]
    fn pairs_are_those_of_an_upper_triangle() {
        assert_eq!(pairs(3).collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]);
        assert_eq!(HessianAlgebra::new(3).widths(), [3, 6]);
    }
}
