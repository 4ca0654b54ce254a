//! The passes: evaluation, training, backward, head and tail, each the list of its calls.

use super::calls::{CallCode, Run};
use super::spans::Spans;
use crate::lower::program::{Call, Id, Program};
use crate::tokens::{int, mentions};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};

/// The most calls of one function. Without optimisation every call in a function has a place of its own on the stack, some 200
/// bytes: 200 of them take 40 KiB, and a network of any depth runs in a thread with 256 KiB.
const LONGEST: usize = 200;

/// What a pass is called and takes.
pub(super) struct Pass<'a> {
    /// The function.
    pub name: &'static str,
    /// What it does, as a sentence.
    pub doc: &'static str,
    /// Its arguments in order, each with its type: `("context", &mut castnet::Context)`.
    pub arguments: Vec<(&'static str, TokenStream)>,
    /// Where its values lie.
    pub spans: &'a Spans<'a>,
}

impl Pass<'_> {
    /// The function and, where it is long, those that it calls; nothing where there is nothing to call.
    pub fn emit(&self, program: &Program, calls: &[Call], codes: &[CallCode]) -> Option<TokenStream> {
        if calls.is_empty() {
            return None;
        }
        let name = format_ident!("{}", self.name);
        let parts: Vec<TokenStream> = calls
            .chunks(LONGEST)
            .zip(codes.chunks(LONGEST))
            .map(|(calls, codes)| self.list(program, calls, codes))
            .collect();
        if let [body] = parts.as_slice() {
            return Some(self.function(&name, self.doc, body));
        }
        let words = self.arguments.iter().map(|(word, _)| format_ident!("{word}"));
        let words: Vec<Ident> = words.collect();
        let mut functions = TokenStream::new();
        let mut all = TokenStream::new();
        for (i, body) in parts.iter().enumerate() {
            let part = format_ident!("{}_{}", self.name, i + 1);
            functions.extend(self.function(&part, &format!("{} Part {} of {}.", self.doc, i + 1, parts.len()), body));
            all.extend(quote!(#part(#(#words),*);));
        }
        functions.extend(self.function(&name, self.doc, &all));
        Some(functions)
    }

    fn function(&self, name: &Ident, doc: &str, body: &TokenStream) -> TokenStream {
        // What a pass does not use is called `_so`, since the user's lints see this code.
        let arguments = self.arguments.iter().map(|(word, kind)| {
            let word = if mentions(body, word) { format_ident!("{word}") } else { format_ident!("_{word}") };
            quote!(#word: #kind)
        });
        let doc = format!(" {doc}");
        quote! {
            #[doc = #doc]
            fn #name(#(#arguments),*) {
                #body
            }
        }
    }

    /// The statements of a run of calls. Those for the inputs' gradients alone stand in `if inputs { … }`.
    fn list(&self, program: &Program, calls: &[Call], codes: &[CallCode]) -> TokenStream {
        let mut tokens = TokenStream::new();
        let mut at = 0;
        while at < calls.len() {
            let for_inputs = calls[at].for_inputs;
            let end = at + calls[at..].iter().take_while(|call| call.for_inputs == for_inputs).count();
            let run: TokenStream = (at..end).map(|i| self.statement(program, &calls[i], &codes[i])).collect();
            tokens.extend(if for_inputs { quote!(if inputs { #run }) } else { run });
            at = end;
        }
        tokens
    }

    /// One call: the buffers it takes, and the call. What has no place in the arena is an input that the caller has lent.
    fn statement(&self, program: &Program, call: &Call, code: &CallCode) -> TokenStream {
        let mut buffers: Vec<Id> = Vec::new();
        let mut arguments: Vec<TokenStream> = Vec::new();
        for operand in &call.operands {
            let home = program.home(operand.value);
            let lent = program.inputs.iter().position(|&input| input == home).filter(|_| !self.spans.has(home));
            if let Some(number) = lent {
                let number = int(number);
                arguments.push(quote!(inputs[#number]));
                continue;
            }
            if !buffers.contains(&home) {
                buffers.push(home);
            }
            arguments.push(self.spans.variable(home).to_token_stream());
        }
        let variables = buffers.iter().map(|&id| self.spans.variable(id));
        let places = buffers.iter().map(|&id| self.spans.path(id));
        let run = match &code.run {
            Run::Function { path, leading } => quote!(#path(#(#leading,)* #(#arguments),*);),
            Run::Zero => quote!(#(#arguments)*.fill(0.0);),
        };
        quote! {
            let [#(#variables),*] = arena.get([#(#places),*]);
            #run
        }
    }
}
