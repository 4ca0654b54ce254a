//! The hand-over of the runtime's pool on loom's atomics and threads. The files are the runtime's own; only what they take from the
//! standard library is another.

#![cfg(test)]

#[path = "../../runtime/src/parallel/handover.rs"]
mod handover;
mod models;
mod platform;
#[path = "../../runtime/src/parallel/tasks.rs"]
#[allow(dead_code, reason = "kernels use what the hand-over does not")]
mod tasks;

/// What the environment would say.
fn threads() -> usize {
    2
}
