//! The exact SGD step of the factored layer.

use faer::linalg::solvers::Solve;
use faer::{MatMut, MatRef};
use kiln_kernels::matrix::{Threads, multiply, rows_of};

use super::{Diagnostics, FactoredSphericalLayer};
use crate::z_loss::matrix::{add_scaled, dot, subtract_symmetric};
use crate::z_loss::{LayerError, LayerScalar, SparseTargetLoss};

/// Share of the largest possible centred sum of squares, `trace(S) |h|^2`, below which rounding of `S` hides it: the logits
/// then count as equal.
const HIDDEN_BY_ROUNDING: f64 = 1e-12;

/// The largest eigenvalue allowed of `2 lr H^T diag(beta) H`; at 1 the update would be singular.
const LARGEST_EIGENVALUE: f64 = 0.9;

/// Examples of one step, with the bias feature in place.
pub(super) struct Batch<'a> {
    /// `H`, `m x d`.
    pub hidden: &'a [f64],
    /// `m * per_example` classes.
    pub targets: &'a [usize],
    /// Classes listed for each example.
    pub per_example: usize,
    /// Place of the first example in the batch that the caller gave.
    pub first_example: usize,
    /// Weight of one example in the mean loss.
    pub share: f64,
}

/// Room for the intermediate results of a step, kept from one step to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Workspace {
    /// `H S`, `m x d`.
    hidden_gram: Vec<f64>,
    /// `H U^T`, `m x d`.
    hidden_u: Vec<f64>,
    /// `sum_k alpha_ik V[c_ik]`, `m x d`.
    target_rows: Vec<f64>,
    /// `sum_k alpha_ik (W[c_ik] - wbar / D)`, `m x d`.
    pull: Vec<f64>,
    /// `H U^-1` with the new inverse, `m x d`.
    hidden_inverse: Vec<f64>,
    /// `diag(beta) H`, `m x d`.
    weighted: Vec<f64>,
    /// Scratch, `m x d`.
    rows: Vec<f64>,
    /// Scratch, `m x m`.
    pairs: Vec<f64>,
    /// Scratch, `d x d`.
    square: Vec<f64>,
    /// `H^T diag(beta) H`, `d x d`, only where `m >= d`.
    curvature: Vec<f64>,
    /// The new inverse of `U`, `d x d`, only where `m >= d`.
    inverse: Vec<f64>,
    /// `F_a` of every example and listed class.
    alpha: Vec<f64>,
    /// `F_q` of every example.
    beta: Vec<f64>,
    /// `F_s` of every example, where the centred sum of squares is fixed.
    gamma: Vec<f64>,
    /// The listed logits of one example.
    logits: Vec<f64>,
    /// Examples and listed classes, ordered by class.
    order: Vec<usize>,
}

/// Value of a batch's losses.
struct Forward {
    /// Their weighted sum.
    loss: f64,
    /// Examples without a gradient.
    degenerate_examples: u64,
}

/// What a step may change, as it was before.
struct Snapshot<E> {
    rows: Vec<Vec<E>>,
    u: Vec<f64>,
    u_inverse: Vec<f64>,
    omega: Vec<f64>,
    gram: Vec<f64>,
    class_sum: Vec<f64>,
    growth: f64,
    diagnostics: Diagnostics,
}

impl Workspace {
    fn reserve(&mut self, examples: usize, width: usize, per_example: usize) {
        for rows in [
            &mut self.hidden_gram,
            &mut self.hidden_u,
            &mut self.target_rows,
            &mut self.pull,
            &mut self.hidden_inverse,
            &mut self.weighted,
            &mut self.rows,
        ] {
            rows.resize(examples * width, 0.0);
        }
        self.square.resize(width * width, 0.0);
        if examples < width {
            self.pairs.resize(examples * examples, 0.0);
        } else {
            self.curvature.resize(width * width, 0.0);
            self.inverse.resize(width * width, 0.0);
        }
        self.alpha.resize(examples * per_example, 0.0);
        self.beta.resize(examples, 0.0);
        self.gamma.resize(examples, 0.0);
        self.logits.resize(per_example, 0.0);
    }

    /// `sum_k alpha_ik`.
    fn alpha_of(&self, example: usize, per_example: usize) -> f64 {
        self.alpha[example * per_example..(example + 1) * per_example].iter().sum()
    }
}

impl<E: LayerScalar> FactoredSphericalLayer<E> {
    /// One step on the weighted sum of the losses of a batch: returns that sum and writes its gradient by `H`. An error
    /// leaves the layer as it was.
    pub(super) fn descend(
        &mut self,
        batch: &Batch<'_>,
        loss: &dyn SparseTargetLoss,
        learning_rate: f64,
        gradient: &mut [f64],
    ) -> Result<f64, LayerError> {
        // The workspace is moved out, so that its parts and the layer's can be borrowed side by side.
        let mut workspace = std::mem::take(&mut self.workspace);
        let outcome = self.descend_whole(batch, loss, learning_rate, gradient, &mut workspace);
        self.workspace = workspace;
        match outcome? {
            Some(value) => Ok(value),
            None => self.descend_in_halves(batch, loss, learning_rate, gradient),
        }
    }

    /// The step on all examples at once; nothing where that would come too close to a singular update.
    fn descend_whole(
        &mut self,
        batch: &Batch<'_>,
        loss: &dyn SparseTargetLoss,
        learning_rate: f64,
        gradient: &mut [f64],
        workspace: &mut Workspace,
    ) -> Result<Option<f64>, LayerError> {
        let forward = self.forward(batch, loss, workspace)?;
        let (bound, change) = eigenvalue_bound(batch, &workspace.beta, self.width, learning_rate);
        if bound < LARGEST_EIGENVALUE {
            self.backward(batch, workspace, gradient);
            self.update(batch, workspace, learning_rate)?;
            self.growth += change;
            self.diagnostics.degenerate_examples += forward.degenerate_examples;
            return Ok(Some(forward.loss));
        }
        if batch.hidden.len() == self.width {
            return Err(LayerError::StepTooLong { bound, limit: LARGEST_EIGENVALUE });
        }
        Ok(None)
    }

    fn descend_in_halves(
        &mut self,
        batch: &Batch<'_>,
        loss: &dyn SparseTargetLoss,
        learning_rate: f64,
        gradient: &mut [f64],
    ) -> Result<f64, LayerError> {
        let before = self.snapshot(batch.targets);
        self.diagnostics.split_batches += 1;
        let half = batch.hidden.len() / self.width / 2;
        let (first_hidden, second_hidden) = batch.hidden.split_at(half * self.width);
        let (first_targets, second_targets) = batch.targets.split_at(half * batch.per_example);
        let (first_gradient, second_gradient) = gradient.split_at_mut(half * self.width);
        let first = Batch { hidden: first_hidden, targets: first_targets, ..*batch };
        let second = Batch {
            hidden: second_hidden,
            targets: second_targets,
            first_example: batch.first_example + half,
            ..*batch
        };
        let value = self.descend(&first, loss, learning_rate, first_gradient);
        let value = value.and_then(|value| Ok(value + self.descend(&second, loss, learning_rate, second_gradient)?));
        value.inspect_err(|_| self.restore(before, batch.targets))
    }

    /// Everything that a step on these targets may change.
    fn snapshot(&self, targets: &[usize]) -> Snapshot<E> {
        let row = |&class: &usize| self.v[class * self.width..(class + 1) * self.width].to_vec();
        Snapshot {
            rows: targets.iter().map(row).collect(),
            u: self.u.clone(),
            u_inverse: self.u_inverse.clone(),
            omega: self.omega.clone(),
            gram: self.gram.clone(),
            class_sum: self.class_sum.clone(),
            growth: self.growth,
            diagnostics: self.diagnostics,
        }
    }

    fn restore(&mut self, before: Snapshot<E>, targets: &[usize]) {
        for (row, &class) in before.rows.iter().zip(targets) {
            self.v[class * self.width..(class + 1) * self.width].copy_from_slice(row);
        }
        self.u = before.u;
        self.u_inverse = before.u_inverse;
        self.omega = before.omega;
        self.gram = before.gram;
        self.class_sum = before.class_sum;
        self.growth = before.growth;
        self.diagnostics = before.diagnostics;
    }

    /// Losses and their partial derivatives; leaves `H S` and `H U^T` in the workspace.
    fn forward(
        &self,
        batch: &Batch<'_>,
        loss: &dyn SparseTargetLoss,
        workspace: &mut Workspace,
    ) -> Result<Forward, LayerError> {
        let (width, classes) = (self.width, self.config.n_classes);
        let examples = batch.hidden.len() / width;
        workspace.reserve(examples, width, batch.per_example);
        let hidden = rows_of(batch.hidden, examples, width);
        let gram = rows_of(&self.gram, width, width);
        multiply(&mut workspace.hidden_gram, 0.0, 1.0, hidden, gram, Threads::Pool);
        multiply(&mut workspace.hidden_u, 0.0, 1.0, hidden, rows_of(&self.u, width, width).t(), Threads::Pool);

        let trace: f64 = self.gram.iter().step_by(width + 1).sum();
        let mut forward = Forward { loss: 0.0, degenerate_examples: 0 };
        for (example, vector) in batch.hidden.chunks_exact(width).enumerate() {
            let row = example * width..(example + 1) * width;
            let listed = example * batch.per_example..(example + 1) * batch.per_example;
            let v = dot(&workspace.hidden_gram[row.clone()], vector);
            let v = if v > HIDDEN_BY_ROUNDING * trace * dot(vector, vector) { v } else { 0.0 };
            let s = dot(&self.class_sum, vector);
            let shift = dot(&self.omega, vector);
            for (logit, &class) in workspace.logits.iter_mut().zip(&batch.targets[listed.clone()]) {
                let own = &self.v[class * width..(class + 1) * width];
                *logit = shift + dot_mixed(own, &workspace.hidden_u[row.clone()]);
            }
            let alpha = &mut workspace.alpha[listed];
            let partials = loss.value_and_centred_sparse_partials(&workspace.logits, v, s, classes, alpha);
            let finite = partials.loss.is_finite() && partials.dq.is_finite() && partials.ds.is_finite();
            if !finite || alpha.iter().any(|value| !value.is_finite()) {
                let example = batch.first_example + example;
                return Err(LayerError::LossValue { example, loss: partials.loss });
            }
            alpha.iter_mut().for_each(|value| *value *= batch.share);
            workspace.beta[example] = batch.share * partials.dq;
            workspace.gamma[example] = batch.share * partials.ds;
            forward.degenerate_examples += u64::from(partials.degenerate);
            forward.loss += batch.share * partials.loss;
        }
        Ok(forward)
    }

    /// `dL/dh_i = (gamma_i + sum_k alpha_ik / D) wbar + 2 beta_i S h_i + sum_k alpha_ik (w_ik - wbar / D)`; leaves the last
    /// term in the workspace.
    fn backward(&self, batch: &Batch<'_>, workspace: &mut Workspace, gradient: &mut [f64]) {
        let width = self.width;
        let examples = batch.hidden.len() / width;
        workspace.target_rows.fill(0.0);
        for (pair, (&class, &alpha)) in batch.targets.iter().zip(&workspace.alpha).enumerate() {
            let example = pair / batch.per_example;
            let v = &self.v[class * width..(class + 1) * width];
            let sum = &mut workspace.target_rows[example * width..(example + 1) * width];
            for (sum, v) in sum.iter_mut().zip(v) {
                *sum += alpha * v.widen();
            }
        }
        let target_rows = rows_of(&workspace.target_rows, examples, width);
        multiply(&mut workspace.pull, 0.0, 1.0, target_rows, rows_of(&self.u, width, width), Threads::Pool);
        let classes = self.config.n_classes as f64;
        let offset: Vec<f64> =
            self.omega.iter().zip(&self.class_sum).map(|(omega, sum)| omega - sum / classes).collect();
        for (example, out) in gradient.chunks_exact_mut(width).enumerate() {
            let row = example * width..(example + 1) * width;
            let alpha = workspace.alpha_of(example, batch.per_example);
            add_scaled(&mut workspace.pull[row.clone()], alpha, &offset);
            out.copy_from_slice(&workspace.pull[row.clone()]);
            add_scaled(out, workspace.gamma[example] + alpha / classes, &self.class_sum);
            add_scaled(out, 2.0 * workspace.beta[example], &workspace.hidden_gram[row]);
        }
    }

    /// `W <- W - lr sum_i (gamma_i 1 + 2 beta_i (o_i - mean o_i) + sum_k alpha_ik e_{c_ik}) h_i^T`.
    ///
    /// With `M = I - 2 lr H^T diag(beta) H` that is `U <- U M`,
    /// `omega <- omega - lr sum_i (gamma_i + 2 beta_i (omega h_i - wbar h_i / D)) h_i^T`, and `V[c] <- V[c] - lr alpha h U^-1`
    /// with the new inverse. An error comes before the first change.
    fn update(&mut self, batch: &Batch<'_>, workspace: &mut Workspace, learning_rate: f64) -> Result<(), LayerError> {
        let width = self.width;
        let examples = batch.hidden.len() / width;
        let hidden = rows_of(batch.hidden, examples, width);
        for ((out, vector), &beta) in
            workspace.weighted.chunks_exact_mut(width).zip(batch.hidden.chunks_exact(width)).zip(&workspace.beta)
        {
            out.iter_mut().zip(vector).for_each(|(out, value)| *out = beta * value);
        }
        if examples >= width {
            let weighted = rows_of(&workspace.weighted, examples, width);
            multiply(&mut workspace.curvature, 0.0, 1.0, hidden.t(), weighted, Threads::Pool);
        }

        self.solve_for_inverse(batch, workspace, learning_rate);
        let sums = self.change_of_bookkeeping(batch, workspace, learning_rate);
        if !(sums.are_finite() && change_is_representable::<E>(workspace, batch.per_example, learning_rate)) {
            return Err(LayerError::Singular { steps: self.diagnostics.steps });
        }

        self.update_rows(batch, workspace, learning_rate);
        let weighted = rows_of(&workspace.weighted, examples, width);
        let hidden_u = rows_of(&workspace.hidden_u, examples, width);
        multiply(&mut self.u, 1.0, -2.0 * learning_rate, hidden_u.t(), weighted, Threads::Pool);
        if examples < width {
            let solved = rows_of(&workspace.hidden_inverse, examples, width);
            multiply(&mut self.u_inverse, 1.0, 2.0 * learning_rate, weighted.t(), solved, Threads::Pool);
        } else {
            std::mem::swap(&mut self.u_inverse, &mut workspace.inverse);
        }
        subtract_symmetric(&mut self.gram, &workspace.square, width);
        self.omega = sums.omega;
        self.class_sum = sums.class_sum;
        Ok(())
    }

    /// Leaves `H U^-1` with the new inverse `M^-1 U^-1` in the workspace.
    ///
    /// For `m < d` by Woodbury's identity: `S = I - 2 lr H H^T diag(beta)`, `R = S^-1 (H U^-1)` is `H` times the new
    /// inverse, and the inverse itself changes by `2 lr H^T diag(beta) R`. Otherwise by solving with `M`, which leaves the
    /// new inverse in the workspace too.
    fn solve_for_inverse(&self, batch: &Batch<'_>, workspace: &mut Workspace, learning_rate: f64) {
        let width = self.width;
        let examples = batch.hidden.len() / width;
        let hidden = rows_of(batch.hidden, examples, width);
        if examples < width {
            let weighted = rows_of(&workspace.weighted, examples, width);
            multiply(&mut workspace.pairs, 0.0, -2.0 * learning_rate, hidden, weighted.t(), Threads::Pool);
            add_to_diagonal(&mut workspace.pairs, examples, 1.0);
            let inverse = rows_of(&self.u_inverse, width, width);
            multiply(&mut workspace.hidden_inverse, 0.0, 1.0, hidden, inverse, Threads::Pool);
            MatRef::from_row_major_slice(&workspace.pairs, examples, examples)
                .partial_piv_lu()
                .solve_in_place(MatMut::from_row_major_slice_mut(&mut workspace.hidden_inverse, examples, width));
        } else {
            for (out, value) in workspace.square.iter_mut().zip(&workspace.curvature) {
                *out = -2.0 * learning_rate * value;
            }
            add_to_diagonal(&mut workspace.square, width, 1.0);
            workspace.inverse.copy_from_slice(&self.u_inverse);
            MatRef::from_row_major_slice(&workspace.square, width, width)
                .partial_piv_lu()
                .solve_in_place(MatMut::from_row_major_slice_mut(&mut workspace.inverse, width, width));
            let inverse = rows_of(&workspace.inverse, width, width);
            multiply(&mut workspace.hidden_inverse, 0.0, 1.0, hidden, inverse, Threads::Pool);
        }
    }

    /// `V[c] <- V[c] - lr alpha h U^-1`, in place; repeated classes accumulate.
    fn update_rows(&mut self, batch: &Batch<'_>, workspace: &Workspace, learning_rate: f64) {
        let width = self.width;
        for (pair, (&class, &alpha)) in batch.targets.iter().zip(&workspace.alpha).enumerate() {
            let example = pair / batch.per_example;
            let change = &workspace.hidden_inverse[example * width..(example + 1) * width];
            let scale = learning_rate * alpha;
            for (v, change) in self.v[class * width..(class + 1) * width].iter_mut().zip(change) {
                *v = E::from_f64(v.widen() - scale * change);
            }
        }
    }

    /// The new `omega` and `wbar`, and the half of what `S` loses, `H^T A`, in the workspace.
    ///
    /// With `C = H^T diag(beta) H`, `P` the pulls `sum_k alpha_ik (w_ik - wbar / D)` and `g = sum alpha_ik h_i`, the rows
    /// of `W` less their mean become `(W - 1 wbar / D) M - lr sum alpha_ik (e_{c_ik} - 1/D) h_i^T`, so that all changes of
    /// `S` have the form `-(H^T A + A^T H)`:
    ///
    /// ```text
    /// A_i = lr (2 beta_i (HS)_i + P_i) - 2 lr^2 ((diag(beta) HS + P) C)_i
    ///       - lr^2/2 (sum_k alpha_ik sum_{j,l: c_jl = c_ik} alpha_jl h_j - sum_k alpha_ik g / D)
    /// ```
    fn change_of_bookkeeping(&self, batch: &Batch<'_>, workspace: &mut Workspace, learning_rate: f64) -> Sums {
        let (width, classes) = (self.width, self.config.n_classes as f64);
        let examples = batch.hidden.len() / width;

        let mut target_sum = vec![0.0; width];
        let mut sums = Sums { omega: self.omega.clone(), class_sum: self.class_sum.clone() };
        for (example, vector) in batch.hidden.chunks_exact(width).enumerate() {
            let (beta, gamma) = (workspace.beta[example], workspace.gamma[example]);
            let alpha = workspace.alpha_of(example, batch.per_example);
            let apart = dot(&self.omega, vector) - dot(&self.class_sum, vector) / classes;
            add_scaled(&mut sums.omega, -learning_rate * (gamma + 2.0 * beta * apart), vector);
            add_scaled(&mut sums.class_sum, -learning_rate * (classes * gamma + alpha), vector);
            add_scaled(&mut target_sum, alpha, vector);
        }

        self.curved(batch, workspace);
        let square = learning_rate * learning_rate;
        for example in 0..examples {
            let row = example * width..(example + 1) * width;
            let alpha = workspace.alpha_of(example, batch.per_example);
            let out = &mut workspace.rows[row.clone()];
            out.iter_mut().for_each(|value| *value *= -2.0 * square);
            add_scaled(out, 2.0 * learning_rate * workspace.beta[example], &workspace.hidden_gram[row.clone()]);
            add_scaled(out, learning_rate, &workspace.pull[row]);
            add_scaled(out, 0.5 * square * alpha / classes, &target_sum);
        }
        self.add_coinciding_targets(batch, workspace, -0.5 * square);

        let hidden = rows_of(batch.hidden, examples, width);
        let rows = rows_of(&workspace.rows, examples, width);
        multiply(&mut workspace.square, 0.0, 1.0, hidden.t(), rows, Threads::Pool);
        sums
    }

    /// `(diag(beta) H S + P) C` into the scratch rows, through the smaller of `m x m` and `d x d`.
    fn curved(&self, batch: &Batch<'_>, workspace: &mut Workspace) {
        let width = self.width;
        let examples = batch.hidden.len() / width;
        // `target_rows` has served its purpose and takes the left factor.
        let left = &mut workspace.target_rows;
        left.copy_from_slice(&workspace.pull);
        for (example, out) in left.chunks_exact_mut(width).enumerate() {
            let gram = &workspace.hidden_gram[example * width..(example + 1) * width];
            add_scaled(out, workspace.beta[example], gram);
        }
        let left = rows_of(left, examples, width);
        if examples < width {
            let hidden = rows_of(batch.hidden, examples, width);
            let weighted = rows_of(&workspace.weighted, examples, width);
            multiply(&mut workspace.pairs, 0.0, 1.0, left, hidden.t(), Threads::Pool);
            let pairs = rows_of(&workspace.pairs, examples, examples);
            multiply(&mut workspace.rows, 0.0, 1.0, pairs, weighted, Threads::Pool);
        } else {
            let curvature = rows_of(&workspace.curvature, width, width);
            multiply(&mut workspace.rows, 0.0, 1.0, left, curvature, Threads::Pool);
        }
    }

    /// Adds `scale sum_k alpha_ik sum_{j,l: c_jl = c_ik} alpha_jl h_j` to every scratch row `i`.
    fn add_coinciding_targets(&self, batch: &Batch<'_>, workspace: &mut Workspace, scale: f64) {
        let width = self.width;
        let example = |pair: usize| pair / batch.per_example;
        let vector = |pair: usize| &batch.hidden[example(pair) * width..(example(pair) + 1) * width];
        workspace.order.clear();
        workspace.order.extend(0..batch.targets.len());
        workspace.order.sort_unstable_by_key(|&pair| (batch.targets[pair], pair));
        let mut sum = vec![0.0; width];
        for same in workspace.order.chunk_by(|&left, &right| batch.targets[left] == batch.targets[right]) {
            sum.fill(0.0);
            for &pair in same {
                add_scaled(&mut sum, workspace.alpha[pair], vector(pair));
            }
            for &pair in same {
                let row = example(pair) * width..(example(pair) + 1) * width;
                add_scaled(&mut workspace.rows[row], scale * workspace.alpha[pair], &sum);
            }
        }
    }
}

/// `omega` and `wbar` after a step.
struct Sums {
    omega: Vec<f64>,
    class_sum: Vec<f64>,
}

impl Sums {
    fn are_finite(&self) -> bool {
        dot(&self.omega, &self.omega).is_finite() && dot(&self.class_sum, &self.class_sum).is_finite()
    }
}

/// That the matrices of a step are finite, and that no row of `V` leaves the range of its number type: by Cauchy and
/// Schwarz none moves by more than `lr |alpha| |H U^-1|`.
fn change_is_representable<E: LayerScalar>(workspace: &Workspace, per_example: usize, learning_rate: f64) -> bool {
    let norm = |values: &[f64]| dot(values, values).sqrt();
    let repeated = (per_example as f64).sqrt();
    let farthest = learning_rate * norm(&workspace.alpha) * norm(&workspace.hidden_inverse) * repeated;
    E::from_f64(farthest).widen().is_finite() && norm(&workspace.square).is_finite()
}

/// A bound on the largest eigenvalue of `2 lr H^T diag(beta) H`, and one on what the update does to the logarithm of the
/// singular values of `U`.
///
/// The trace of the positive part is cheap; only where it is too large does the Frobenius norm follow, which is smaller
/// when several directions share the trace.
fn eigenvalue_bound(batch: &Batch<'_>, beta: &[f64], width: usize, learning_rate: f64) -> (f64, f64) {
    let (mut positive, mut negative) = (0.0, 0.0);
    for (vector, &beta) in batch.hidden.chunks_exact(width).zip(beta) {
        let value = 2.0 * learning_rate * beta * dot(vector, vector);
        if value > 0.0 {
            positive += value;
        } else {
            negative -= value;
        }
    }
    let mut bound: f64 = positive;
    if bound >= LARGEST_EIGENVALUE {
        let rows: Vec<(f64, &[f64])> =
            beta.iter().copied().zip(batch.hidden.chunks_exact(width)).filter(|(beta, _)| *beta > 0.0).collect();
        let mut squares = 0.0;
        for (index, (left_beta, left)) in rows.iter().enumerate() {
            for (right_beta, right) in &rows[..index] {
                squares += 2.0 * left_beta * right_beta * dot(left, right).powi(2);
            }
            squares += (left_beta * dot(left, left)).powi(2);
        }
        bound = bound.min(2.0 * learning_rate * squares.sqrt());
    }
    let shrink = if bound < 1.0 { -(-bound).ln_1p() } else { f64::INFINITY };
    (bound, shrink + negative.ln_1p())
}

fn add_to_diagonal(matrix: &mut [f64], size: usize, value: f64) {
    matrix.iter_mut().step_by(size + 1).for_each(|diagonal| *diagonal += value);
}

/// Inner product of a row of `V` with a wide vector.
#[inline]
fn dot_mixed<E: LayerScalar>(left: &[E], right: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane].widen() * right[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| left.widen() * right).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FactoredSphericalConfig, SquaredSphericalLossConfig};
    use burn::tensor::Tensor;

    #[test]
    fn an_update_that_is_not_finite_is_refused_before_it_changes_anything() {
        let loss = SquaredSphericalLossConfig::new().init().unwrap();
        // Fewer examples than features, and more.
        for examples in [1, 4] {
            let mut layer = FactoredSphericalConfig::new(3, 5).with_bias(false).init_as::<f64>(1).unwrap();
            layer.u_inverse.fill(f64::MAX);
            let before = layer.clone();
            let hidden = Tensor::ones([examples, 3], &burn::tensor::Device::flex());
            let error = layer.step(hidden, &vec![2; examples], &loss, 0.1).unwrap_err();
            assert!(matches!(error, LayerError::Singular { steps: 0 }), "{error}");
            assert_eq!((&layer.v, &layer.u, &layer.u_inverse), (&before.v, &before.u, &before.u_inverse));
            assert_eq!((&layer.gram, &layer.class_sum), (&before.gram, &before.class_sum));
            assert_eq!((&layer.omega, layer.growth), (&before.omega, before.growth));
        }
    }
}
