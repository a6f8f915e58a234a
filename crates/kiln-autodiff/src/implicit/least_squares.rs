//! Least squares, with and without linear constraints, differentiable in all that defines them.

use burn::tensor::{DType, Device, Tensor};
use faer::Mat;

use crate::NumericalError;
use crate::custom_gradient::try_custom_gradient;
use crate::solve::dense::Triangle;
use crate::solve::host::{matrix, tensor};

/// `X` that minimises `|A X - B|^2`, differentiable in both.
///
/// ```text
/// A'A V = dL/dX        R = A X - B        dL/dB = A V        dL/dA = -(R V' + A V X')
/// ```
/// # Shapes
/// - `a`: `[m, n]` with `m >= n`, of full column rank
/// - `b`: `[m, k]`
/// - output: `[n, k]`
///
/// # Errors
/// Columns of `a` that are linearly dependent to working precision, values that are not finite, shapes that do not fit.
pub fn least_squares(a: Tensor<2>, b: Tensor<2>) -> Result<Tensor<2>, NumericalError> {
    const OPERATION: &str = "least squares";
    let place = Place::of(&a);
    let forward = |(a, b)| {
        let problem = Problem::new(OPERATION, a, b, None, place.dtype)?;
        let x = problem.minimum();
        Ok((place.tensor(x.clone()), (problem, x)))
    };
    let home = place.clone();
    try_custom_gradient((a, b), forward, move |(problem, x), upstream, _wanted| {
        let gradients = problem.gradients(&x, &host(upstream));
        (Some(home.tensor(gradients.a)), Some(home.tensor(gradients.b)))
    })
}

/// `X` that minimises `|A X - B|^2` subject to `C X = D`, differentiable in all four.
///
/// The conditions of Karush, Kuhn and Tucker and their adjoint, with `R = A X - B`:
///
/// ```text
/// A'R + C'Y = 0,  C X = D        A'A V + C'U = dL/dX,  C V = 0
/// dL/dB = A V    dL/dD = U    dL/dA = -(R V' + A V X')    dL/dC = -(Y V' + U X')
/// ```
/// Solved in the null space of `C`, so that the condition of `A` is not squared in the value.
///
/// # Shapes
/// - `a`: `[m, n]`
/// - `b`: `[m, k]`
/// - `c`: `[p, n]` with `p <= n`, of full row rank; `a` has full column rank on its null space
/// - `d`: `[p, k]`
/// - output: `[n, k]`
///
/// # Errors
/// Constraints or columns that are linearly dependent to working precision, values that are not finite, shapes that do not
/// fit.
pub fn constrained_least_squares(
    a: Tensor<2>,
    b: Tensor<2>,
    c: Tensor<2>,
    d: Tensor<2>,
) -> Result<Tensor<2>, NumericalError> {
    const OPERATION: &str = "constrained least squares";
    let place = Place::of(&a);
    let forward = |(a, b, c, d)| {
        let problem = Problem::new(OPERATION, a, b, Some((c, d)), place.dtype)?;
        let x = problem.minimum();
        Ok((place.tensor(x.clone()), (problem, x)))
    };
    let home = place.clone();
    try_custom_gradient((a, b, c, d), forward, move |(problem, x), upstream, _wanted| {
        let gradients = problem.gradients(&x, &host(upstream));
        let tensor = |matrix| Some(home.tensor(matrix));
        (tensor(gradients.a), tensor(gradients.b), tensor(gradients.c), tensor(gradients.d))
    })
}

#[derive(Clone)]
struct Place {
    device: Device,
    dtype: DType,
}

impl Place {
    fn of(tensor: &Tensor<2>) -> Self {
        Self { device: tensor.device().inner(), dtype: tensor.dtype() }
    }

    fn tensor(&self, matrix: Mat<f64>) -> Tensor<2> {
        tensor(matrix, &self.device, self.dtype)
    }
}

/// An upstream gradient; NaN in it goes on into the gradients.
fn host(upstream: Tensor<2>) -> Mat<f64> {
    let [rows, columns] = upstream.dims();
    let values: Vec<f64> = upstream.into_data().iter::<f64>().collect();
    Mat::from_fn(rows, columns, |row, column| values[row * columns + column])
}

/// The data in double precision, and the factors of the reduced problem.
///
/// `C' = Q_1 R_1`, and `Q_2` completes `Q_1` to a basis: `X = Q_1 X_1 + Q_2 X_2` meets the constraints for the one
/// `X_1 = R_1'^-1 D` and any `X_2`.
struct Problem {
    a: Mat<f64>,
    b: Mat<f64>,
    d: Mat<f64>,
    range: Triangle,
    kernel: Mat<f64>,
    /// Factors of `A Q_2`.
    reduced: Triangle,
}

struct Gradients {
    a: Mat<f64>,
    b: Mat<f64>,
    c: Mat<f64>,
    d: Mat<f64>,
}

impl Problem {
    fn new(
        operation: &'static str,
        a: Tensor<2>,
        b: Tensor<2>,
        constraints: Option<(Tensor<2>, Tensor<2>)>,
        dtype: DType,
    ) -> Result<Self, NumericalError> {
        check_shapes(operation, &a, &b, constraints.as_ref())?;
        let ([_, n], [_, k]) = (a.dims(), b.dims());
        let (a, b) = (matrix(operation, a)?, matrix(operation, b)?);
        let (range, kernel, d) = match constraints {
            None => (Triangle::of(Mat::zeros(n, 0).as_ref()), Mat::identity(n, n), Mat::zeros(0, k)),
            Some((c, d)) => {
                let c = matrix(operation, c)?;
                let full = c.transpose().qr().compute_Q();
                let range = Triangle::of(c.transpose());
                (range, full.subcols(c.nrows(), n - c.nrows()).to_owned(), matrix(operation, d)?)
            }
        };
        range.require_rank(operation, 0, dtype)?;
        let reduced = &a * &kernel;
        let reduced = Triangle::of(reduced.as_ref());
        reduced.require_rank(operation, 0, dtype)?;
        Ok(Self { a, b, d, range, kernel, reduced })
    }

    fn minimum(&self) -> Mat<f64> {
        let mut fixed = self.d.clone();
        self.range.r.transpose().solve_lower_triangular_in_place(fixed.as_mut());
        let fixed = &self.range.q * fixed;
        let rest = &self.b - &self.a * &fixed;
        fixed + &self.kernel * self.reduced.solve(rest.as_ref())
    }

    fn gradients(&self, x: &Mat<f64>, upstream: &Mat<f64>) -> Gradients {
        let v = &self.kernel * self.reduced.solve_normal(self.kernel.transpose() * upstream);
        let image = &self.a * &v;
        let rest = &self.a * x - &self.b;
        let multiplier = self.multiplier(-(self.a.transpose() * &rest));
        let adjoint_multiplier = self.multiplier(upstream - self.a.transpose() * &image);
        Gradients {
            a: -(&rest * v.transpose() + &image * x.transpose()),
            b: image,
            c: -(multiplier * v.transpose() + &adjoint_multiplier * x.transpose()),
            d: adjoint_multiplier,
        }
    }

    /// The `Y` with `C'Y = F`, for an `F` in the range of `C'`.
    fn multiplier(&self, force: Mat<f64>) -> Mat<f64> {
        self.range.solve(force.as_ref())
    }
}

fn check_shapes(
    operation: &'static str,
    a: &Tensor<2>,
    b: &Tensor<2>,
    constraints: Option<&(Tensor<2>, Tensor<2>)>,
) -> Result<(), NumericalError> {
    let ([m, n], [m_b, k]) = (a.dims(), b.dims());
    let (p, n_c, p_d, k_d) = match constraints {
        Some((c, d)) => (c.dims()[0], c.dims()[1], d.dims()[0], d.dims()[1]),
        None => (0, n, 0, k),
    };
    let fits = m == m_b
        && n == n_c
        && p == p_d
        && k == k_d
        && p <= n
        && m + p >= n
        && m * n * k > 0
        && (p > 0 || constraints.is_none());
    if fits {
        return Ok(());
    }
    let (found, expected) = match constraints {
        None => (format!("shapes [{m}, {n}] and [{m_b}, {k}]"), "[m, n] and [m, k] with m >= n"),
        Some(_) => (
            format!("shapes [{m}, {n}], [{m_b}, {k}], [{p}, {n_c}] and [{p_d}, {k_d}]"),
            "[m, n], [m, k], [p, n] and [p, k] with 0 < p <= n <= m + p",
        ),
    };
    Err(NumericalError::Shape { operation, found, expected: expected.to_owned() })
}
