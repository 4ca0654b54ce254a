//! What the tests of castnet as a whole share.

pub mod allocations;
pub mod check;
pub mod flat;
pub mod frozen;
pub mod golden;
pub mod nodes;
pub mod subject;
