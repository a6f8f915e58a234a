//! Readers for standard formats, embedded sets, splits and augmentation.
//!
//! [`open`] takes the name of a known set (`digits`, `mnist`, `iris`, ...) or a file or folder of the user's own
//! and gives [`Splits`]: training, validation and test rows as [`ArrayDataset`]s, and the [`Preprocessing`] that was
//! fitted on the training rows and can be applied to new ones by [`open_like`], [`open_inputs_like`] and
//! [`open_test_like`].
//!
//! ```
//! use kiln_data::{DataDir, OpenOptions, open};
//!
//! let splits = open("digits", &DataDir::find(None), &OpenOptions::default())?;
//! assert_eq!(splits.train.input_shape(), &[1, 8, 8]);
//! assert_eq!(splits.train.num_classes(), 10);
//! # Ok::<(), kiln_data::DataError>(())
//! ```

mod aggregated_table;
mod array;
mod array_dataset;
mod array_files;
pub mod augment;
mod bags;
pub mod catalogue;
pub mod cifar;
mod contact_sheet;
mod contents;
mod data_dir;
pub mod delimited;
mod delimited_block;
mod delimited_layout;
mod digits;
mod error;
pub mod fetch;
mod file_bytes;
mod folder;
pub mod idx;
pub mod image_folder;
mod image_planes;
pub mod label_noise;
mod nearest;
mod numbers;
pub mod numpy;
mod open;
mod open_arrays;
mod open_bags;
mod open_images;
mod open_like;
mod open_table;
mod open_text;
pub mod parquet_file;
mod preprocessing;
mod role;
mod source;
pub mod split;
mod summary;
mod table;
mod table_encoding;
pub mod tensors;
pub mod text;

pub use aggregated_table::TargetTable;
pub use array::{Array, ArrayKind};
pub use array_dataset::{ArrayDataset, Example, Target, Targets};
pub use bags::{BagBatch, Bags, Leftover};
pub use contact_sheet::contact_sheet;
pub use data_dir::DataDir;
pub use error::DataError;
pub use fetch::fetch;
pub use image_planes::ImagePlanes;
pub use label_noise::LabelNoise;
pub use nearest::nearest;
pub use numbers::Numbers;
pub use open::{OpenOptions, Splits, Task, open};
pub use open_bags::{BagOptions, BagRows, BagTargets, SplitBags, open_bags_like};
pub use open_images::{ImageOptions, ImageSource, ImageSplits, image_sources, open_images, read_images};
pub use open_like::{open_inputs_like, open_like, open_test_like};
pub use open_text::{Lines, open_lines_like, open_text, open_text_like};
pub use preprocessing::{ColumnEncoder, InputEncoding, Preprocessing, TargetEncoding};
pub use source::{fingerprint, is_same_source, is_text};
pub use split::SplitOptions;
pub use summary::{FeatureSummary, SplitSummary, Summary};
pub use table::{Cells, Column, MISSING, Table};
