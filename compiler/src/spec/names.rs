//! Names of layers -> the values that they stand for.

use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::spec::args::Arg;
use crate::spec::expansion::{Expander, Placing};
use crate::spec::header::Header;
use crate::spec::site::Site;
use crate::spec::slots::{Known, Pending, Slot, SlotId, Target};
use crate::suggest::nearest;
use std::collections::HashMap;

impl Expander<'_> {
    pub(super) fn resolve(&mut self, layer: Pending, placing: Placing<'_>, known: &Known<'_>) {
        let Pending { site, previous, input, many, indices, target } = layer;
        let inputs: Vec<SlotId> = match (&many, &input) {
            (Some(names), _) => names.iter().map(|name| self.look_up(name, &site, placing, known)).collect(),
            (None, Some(name)) => vec![self.look_up(name, &site, placing, known)],
            (None, None) => vec![previous],
        };
        let input_spans = match (&many, &input) {
            (Some(names), _) => names.iter().map(|name| name.span.clone()).collect(),
            (None, name) => vec![name.as_ref().and_then(|name| name.span.clone())],
        };
        match target {
            Target::Entry(alias) => self.slots[alias] = Slot::Alias(Some(inputs[0])),
            Target::Draft(draft) => {
                self.drafts[draft].indices_span = indices.as_ref().and_then(|name| name.span.clone());
                let indices = indices.map(|name| self.look_up(&name, &site, placing, known));
                self.drafts[draft].inputs = inputs;
                self.drafts[draft].input_spans = input_spans;
                self.drafts[draft].indices = indices;
            }
        }
    }

    fn look_up(&mut self, name: &Arg<String>, site: &Site, placing: Placing<'_>, known: &Known<'_>) -> SlotId {
        if name.value == "@input" && placing.scope.block.is_some() {
            return placing.entry;
        }
        if let Some(&slot) = known.scope.get(&name.value) {
            return slot;
        }
        let span = name.span.clone().unwrap_or_else(|| site.span.clone());
        let title = format!("{} takes `{}`, which does not exist", site.title(), name.value);
        let mut diagnostic = site.error(title, span, "no layer or input is called so");
        if name.value == "@input" {
            diagnostic =
                diagnostic.help("@input is what flows into a block: outside of a block name a layer or an input");
        } else if let Some(near) = nearest(&name.value, known.sorted().iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        if placing.scope.block.is_some() && self.names.contains_key(&name.value) {
            diagnostic = diagnostic.note("a block sees its own layers and @input, nothing outside");
        }
        self.diagnostics.push(diagnostic);
        self.unknown()
    }

    /// An output: a layer of the top, or a layer inside a placed block by its full name.
    pub(super) fn find_output(
        &mut self,
        name: &Arg<String>,
        scope: &HashMap<String, SlotId>,
        header: &Header,
    ) -> SlotId {
        let is_input = header.inputs.iter().any(|input| input.name == name.value);
        if let (Some(&slot), false) = (scope.get(&name.value), is_input) {
            return slot;
        }
        if let Some(draft) = self.drafts.iter().position(|draft| draft.site.name == name.value) {
            return self.slot(Slot::Value(ValueId::Node(draft)));
        }
        let span = name.span.clone().unwrap_or_else(|| header.span.clone());
        let title = if is_input {
            format!("output `{}` is an input, not a layer", name.value)
        } else {
            format!("output `{}` does not exist", name.value)
        };
        let diagnostic = Diagnostic::new(title).at(span, "no layer is called so");
        let names: Vec<&str> = self.drafts.iter().map(|draft| draft.site.name.as_str()).collect();
        self.diagnostics.push(match nearest(&name.value, names) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
        self.unknown()
    }
}
