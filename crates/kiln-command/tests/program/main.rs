//! What a person sees of the program, bad input above all.

mod bad_data;
mod comparing_images;
mod documents;
mod images;
mod language_models;
mod noise;
mod predicting;
mod regression;
mod reproductions;
mod session;
mod training;
