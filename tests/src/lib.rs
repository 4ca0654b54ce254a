//! What the tests of castnet as a whole share.

pub mod flat;
pub mod golden;
pub mod subject;
