//! What generated code that stands in a user's module takes for granted.
//!
//! A block that imports all of this finds here what a user's module may call otherwise: primitive types (`struct f32;`) and the names of
//! the prelude (`enum Answer { Some, None }`). And it finds a function for every name that the block binds as an argument. To
//! bind a name is to match a pattern, and a pattern that has the name of a constant in scope means that constant
//! (`const path: u8 = 1;` makes of `fn load(path: …)` a refutable pattern). A name that means a function can be bound.

pub use core::option::Option::{self, None, Some};
pub use core::primitive::{bool, f32, u8, u64, usize};
pub use core::result::Result::Ok;

macro_rules! names {
    ($($name:ident)*) => {
        $(
            #[doc(hidden)]
            pub const fn $name() {}
        )*
    };
}

names! { bytes inputs loss output_gradients outputs path prediction sample seed state tape target }
