//! Every network over every kind of number: derivatives in inputs and parameters against differences.

mod differences;
mod inputs;
mod language;
mod networks;
mod parameters;
