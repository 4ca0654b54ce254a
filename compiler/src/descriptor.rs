//! Descriptors as code: the values that the compiler works out, written as Rust that builds the same ones in the user's crate.

use crate::tokens::{double, float, int};
use castnet_descriptors::{
    Activation, AdaptivePool2d, AvgPool2d, BatchNorm, Broadcast, Concat, Conv2d, ConvTranspose2d, GroupNorm, Init,
    LayerNorm, Linear, LocalResponseNorm, Loss, LpPool2d, MaxUnpool2d, PaddingMode, Pool2d, Pool2x2, Prelu, Rrelu,
    Softmax, Upsample, UpsampleMode,
};
use proc_macro2::TokenStream;
use quote::quote;

/// What can be written as a Rust expression.
pub trait Code {
    /// An expression that is the same value, where `castnet` is the runtime's `__private`.
    fn code(&self) -> TokenStream;
}

/// A struct of sizes, of which generated code holds a `static`.
pub trait Descriptor: Code {
    /// Its type in generated code.
    fn path() -> TokenStream;
}

/// Type and value of a descriptor, for a `static`.
pub fn item<D: Descriptor>(descriptor: &D) -> (TokenStream, TokenStream) {
    (D::path(), descriptor.code())
}

impl Code for usize {
    fn code(&self) -> TokenStream {
        let literal = int(*self);
        quote!(#literal)
    }
}

impl Code for f32 {
    fn code(&self) -> TokenStream {
        float(*self)
    }
}

impl Code for f64 {
    fn code(&self) -> TokenStream {
        double(*self)
    }
}

impl Code for bool {
    fn code(&self) -> TokenStream {
        quote!(#self)
    }
}

impl<T: Code> Code for Option<T> {
    fn code(&self) -> TokenStream {
        match self {
            Some(value) => {
                let value = value.code();
                quote!(Some(#value))
            }
            None => quote!(None),
        }
    }
}

impl<T: Code, const N: usize> Code for [T; N] {
    fn code(&self) -> TokenStream {
        let values = self.iter().map(Code::code);
        quote!([#(#values),*])
    }
}

impl<T: Code> Code for &[T] {
    fn code(&self) -> TokenStream {
        let values = self.iter().map(Code::code);
        quote!(&[#(#values),*])
    }
}

/// The pattern names every field: one that is added to the struct and forgotten here does not compile.
macro_rules! structs {
    ($($name:ident $(<$life:lifetime>)? { $($field:ident),* })*) => {$(
        impl Code for $name $(<$life>)? {
            fn code(&self) -> TokenStream {
                let $name { $($field),* } = self;
                $(let $field = $field.code();)*
                quote!(castnet::$name { $($field: #$field),* })
            }
        }

        impl Descriptor for $name $(<$life>)? {
            fn path() -> TokenStream {
                quote!(castnet::$name)
            }
        }
    )*};
}

structs! {
    AdaptivePool2d { input, output }
    AvgPool2d { pool, count_include_pad, divisor }
    BatchNorm { channels, inner, eps, momentum }
    Broadcast<'_> { output, inputs }
    Concat<'_> { outer, lengths }
    Conv2d { input, output, kernel, stride, padding, dilation, groups, padding_mode }
    ConvTranspose2d { adjoint }
    GroupNorm { groups, channels, inner, eps }
    LayerNorm { rows, length, eps }
    Linear { in_features, out_features, rows }
    LocalResponseNorm { channels, inner, size, alpha, beta, k }
    LpPool2d { pool, norm_type }
    MaxUnpool2d { input, output }
    Pool2d { input, output, kernel, stride, padding, dilation }
    Prelu { channels, inner }
    Rrelu { lower, upper }
    Softmax { outer, length, inner }
    Upsample { input, output, scale, mode }
}

/// A `match` over all variants: one that is added and forgotten here does not compile.
macro_rules! enums {
    ($($name:ident in $($module:ident)::+ {
        $($variant:ident $(($value:ident))? $({ $($field:ident),* })?,)*
    })*) => {$(
        impl Code for $name {
            fn code(&self) -> TokenStream {
                let module = quote!($($module)::+);
                match self {$(
                    $name::$variant $(($value))? $({ $($field),* })? => {
                        $(let $value = $value.code();)?
                        $($(let $field = $field.code();)*)?
                        quote!(#module::$name::$variant $((#$value))? $({ $($field: #$field),* })?)
                    }
                )*}
            }
        }
    )*};
}

enums! {
    Activation in castnet {
        Relu,
        Relu6,
        LeakyRelu { negative_slope },
        Elu { alpha },
        Sigmoid,
        Tanh,
        Gelu,
        GeluTanh,
        Silu,
        Hardswish,
        Hardsigmoid,
    }
    Init in castnet {
        Uniform(bound),
        Normal(deviation),
        Constant(value),
    }
    Loss in castnet {
        CrossEntropy,
        Nll,
        Mse,
        L1,
        SmoothL1,
        Bce,
        BceWithLogits,
    }
    PaddingMode in castnet {
        Zeros,
        Reflect,
        Replicate,
        Circular,
    }
    Pool2x2 in castnet::blocked {
        Max,
        Mean,
    }
    UpsampleMode in castnet {
        Nearest,
        Bilinear,
        BilinearAlignCorners,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_with_all_it_holds() {
        let pool = Pool2d {
            input: [3, 8, 9],
            output: [3, 4, 4],
            kernel: [2, 3],
            stride: [2, 2],
            padding: [0, 1],
            dilation: [1, 1],
        };
        let (path, value) = item(&AvgPool2d { pool, count_include_pad: true, divisor: Some(4) });
        assert_eq!(path.to_string(), quote!(castnet::AvgPool2d).to_string());
        let expected = quote!(castnet::AvgPool2d {
            pool: castnet::Pool2d {
                input: [3, 8, 9],
                output: [3, 4, 4],
                kernel: [2, 3],
                stride: [2, 2],
                padding: [0, 1],
                dilation: [1, 1]
            },
            count_include_pad: true,
            divisor: Some(4)
        });
        assert_eq!(value.to_string(), expected.to_string());
        let concat = Concat { outer: 2, lengths: &[3, 4] };
        assert_eq!(concat.code().to_string(), quote!(castnet::Concat { outer: 2, lengths: &[3, 4] }).to_string());
    }

    #[test]
    fn variants_carry_their_values() {
        let values = [
            (Activation::Elu { alpha: -0.5 }.code(), quote!(castnet::Activation::Elu { alpha: -0.5 })),
            (Init::Normal(0.01).code(), quote!(castnet::Init::Normal(0.01))),
            (Pool2x2::Mean.code(), quote!(castnet::blocked::Pool2x2::Mean)),
            (None::<Pool2x2>.code(), quote!(None)),
        ];
        for (found, expected) in values {
            assert_eq!(found.to_string(), expected.to_string());
        }
    }
}
