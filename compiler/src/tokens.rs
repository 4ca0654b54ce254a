//! Literals as a person writes them: without a type behind the number.

use proc_macro2::{Group, Literal, Span, TokenStream, TokenTree};
use quote::quote;

/// `784`, not `784usize`.
pub fn int(n: usize) -> Literal {
    Literal::usize_unsuffixed(n)
}

/// `117600`, not `117600u64`.
pub fn long(n: u64) -> Literal {
    Literal::u64_unsuffixed(n)
}

/// `[1, 28, 28]`.
pub fn ints(sizes: &[usize]) -> TokenStream {
    let sizes = sizes.iter().map(|&n| int(n));
    quote!([#(#sizes),*])
}

/// `0.01`, not `0.01f32`. Only finite numbers come here: the reader of arguments has refused the others.
pub fn float(x: f32) -> TokenStream {
    let size = Literal::f32_unsuffixed(x.abs());
    if x.is_sign_negative() { quote!(-#size) } else { quote!(#size) }
}

/// `2.0`, not `2.0f64`; finite, as for [`float`].
pub fn double(x: f64) -> TokenStream {
    let size = Literal::f64_unsuffixed(x.abs());
    if x.is_sign_negative() { quote!(-#size) } else { quote!(#size) }
}

/// The same tokens with hygiene: a local variable in them is neither one of the user's nor a constant of the user's that has
/// its name. All names of locals, where they are bound and where they are used, must go through this.
pub fn hygienic(tokens: TokenStream) -> TokenStream {
    let respan = |token: TokenTree| match token {
        TokenTree::Group(group) => {
            let mut inside = Group::new(group.delimiter(), hygienic(group.stream()));
            inside.set_span(Span::mixed_site());
            TokenTree::Group(inside)
        }
        mut other => {
            other.set_span(Span::mixed_site());
            other
        }
    };
    tokens.into_iter().map(respan).collect()
}

/// Whether a word stands anywhere in the tokens.
pub fn mentions(tokens: &TokenStream, word: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions(&group.stream(), word),
        TokenTree::Ident(ident) => ident == word,
        _ => false,
    })
}

/// `117,600`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_thousands() {
        assert_eq!(["0", "999", "1,000", "117,600", "11,689,512"], [0, 999, 1000, 117600, 11689512].map(grouped)[..]);
    }

    #[test]
    fn writes_plain_literals() {
        assert_eq!(float(0.01).to_string(), "0.01");
        assert_eq!(float(-1e-5).to_string(), "- 0.00001");
        assert_eq!(float(1.0).to_string(), "1.0");
        assert!(mentions(&quote!(f(Some(x))), "Some"));
        assert!(!mentions(&quote!(f(x)), "Some"));
    }
}
