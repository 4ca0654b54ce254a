//! What the examples of castnet share: data sets, pictures, and what they print.

pub mod chart;
pub mod digits;
pub mod error;
pub mod files;
pub mod idx;
pub mod options;
pub mod photo;
pub mod picture;
pub mod report;
pub mod scenes;
pub mod terminal;
