//! The procedural macro of castnet. See the crate `castnet`.
