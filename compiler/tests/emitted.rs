//! Snapshots of emitted code: what `cargo expand` shows a user, formatted.

use castnet_compiler::{Files, Item, Source, Weights, compile, emit};
use quote::{format_ident, quote};

/// The code for a spec, as rustfmt would write it.
fn emitted(path: &str, text: &str, weights: Option<Weights>) -> String {
    let source = Source::new(path, text);
    let compiled = compile(&source).unwrap_or_else(|failure| panic!("{}", failure.render(&source)));
    let item = Item {
        attributes: quote!(#[doc = " What the user wrote about it."]),
        vis: quote!(pub),
        name: format_ident!("Net"),
        krate: quote!(::castnet),
    };
    let files = Files { spec: Some("/absolute/path/net.toml".into()), weights };
    let tokens = emit::network(&item, &source, &compiled, &files);
    prettyplease::unparse(&syn::parse2(tokens).expect("the emitted code is Rust"))
}

/// The code after an error.
fn stub(path: &str, text: &str) -> String {
    let source = Source::new(path, text);
    let failure = compile(&source).expect_err("the spec has an error");
    let span = proc_macro2::Span::call_site();
    let errors: Vec<_> = failure.diagnostics.iter().map(|diagnostic| (span, diagnostic.message(&source))).collect();
    let item = Item { attributes: quote!(), vis: quote!(pub), name: format_ident!("Net"), krate: quote!(::castnet) };
    let tokens = emit::stub(&item, &errors, &Files::default());
    prettyplease::unparse(&syn::parse2(tokens).expect("the emitted code is Rust"))
}

#[test]
fn a_chain() {
    let text = "[network]\ninput = [1, 6, 6]\nloss = \"cross_entropy\"\n\n[[layer]]\nname = \"conv1\"\ntype = \"conv2d\"\n\
                out_channels = 2\nkernel_size = 3\n\n[[layer]]\ntype = \"relu\"\n\n[[layer]]\ntype = \"flatten\"\n\n[[layer]]\n\
                name = \"fc1\"\ntype = \"linear\"\nout_features = 3\n";
    let weights = Weights { written: "chain.safetensors".into(), path: "/absolute/path/chain.safetensors".into() };
    insta::assert_snapshot!(emitted("specs/chain.toml", text, Some(weights)));
}

#[test]
fn branches_blocks_and_several_inputs() {
    let text = "[network]\ninputs = { image = [3, 4, 4], gate = [3, 4, 4] }\noutputs = [\"sum\", \"joined\"]\n\n[[layer]]\n\
                name = \"stage\"\nblock = \"basic\"\nrepeat = 2\n\n[[layer]]\nname = \"sum\"\ntype = \"add\"\n\
                inputs = [\"stage\", \"gate\"]\n\n[[layer]]\nname = \"joined\"\ntype = \"concat\"\ninputs = [\"sum\", \"stage\", \"image\"]\n\n\
                [block.basic]\nparams = { p = 0.5 }\n\n[[block.basic.layer]]\nname = \"bn\"\ntype = \"batch_norm2d\"\n\n\
                [[block.basic.layer]]\ntype = \"dropout\"\np = \"$p\"\n\n[[block.basic.layer]]\ntype = \"mul\"\ninputs = [\"bn\", \"@input\", \"dropout1\"]\n";
    insta::assert_snapshot!(emitted("specs/branches.toml", text, None));
}

#[test]
fn pooling_and_its_indices() {
    let text = "[network]\ninput = [2, 4, 4]\nloss = \"mse\"\n\n[[layer]]\nname = \"pool1\"\ntype = \"max_pool2d\"\nkernel_size = 2\n\n\
                [[layer]]\ntype = \"softmax\"\ndim = 1\n\n[[layer]]\ntype = \"max_unpool2d\"\nindices = \"pool1\"\nkernel_size = 2\n";
    insta::assert_snapshot!(emitted("specs/unpool.toml", text, None));
}

#[test]
fn what_is_left_after_an_error() {
    let text = "[network]\ninput = [3, 8, 8]\n\n[[layer]]\nname = \"fc1\"\ntype = \"linear\"\nin_features = 9\nout_features = 2\n";
    insta::assert_snapshot!(stub("specs/broken.toml", text));
}
