//! Instruction sets: the only place with intrinsics.
