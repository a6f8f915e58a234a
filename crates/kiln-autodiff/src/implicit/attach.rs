//! A solution as a function of the parameters of its equation.

use burn::tensor::Tensor;

use super::parameters::Parameters;
use crate::NumericalError;
use crate::custom_gradient::custom_gradient;
use crate::solve::Solution;

/// An equation in one vector, given its parameters, that can be solved and differentiated.
pub(super) trait Implicit<P>: Send + 'static {
    /// The solution.
    fn solve(&self, parameters: &P) -> Result<Tensor<1>, NumericalError>;

    /// Gradient of the flattened parameters, from the gradient of the solution.
    fn adjoint(self, parameters: &P, solution: &Tensor<1>, upstream: Tensor<1>) -> Tensor<1>;
}

/// The solution for the parameters, as a node of their graph. The equation sees no graph.
pub(super) fn attach<P: Parameters>(equation: impl Implicit<P>, parameters: &P) -> Result<Tensor<1>, NumericalError> {
    let flat = parameters.flatten();
    let plain = parameters.with_values(flat.clone().inner());
    let solution = equation.solve(&plain)?;
    let saved = (solution.clone(), (equation, plain, solution));
    Ok(custom_gradient(
        (flat,),
        |_| saved,
        |(equation, plain, solution), upstream, _wanted| (Some(equation.adjoint(&plain, &solution, upstream)),),
    ))
}

/// The solution of a backward pass's linear system; a failure can only be told by a panic there.
pub(super) fn solved(operation: &str, solution: Result<Solution, NumericalError>) -> Tensor<1> {
    match solution {
        Ok(solution) => solution.x,
        Err(error) => panic!("backward pass of {operation}: {error}"),
    }
}
