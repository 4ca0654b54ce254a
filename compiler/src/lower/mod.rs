//! `Shaped` -> [`Program`]: one typed form for evaluation, for training and for inference, and the passes that turn one program into
//! another. A pass is a file and a function; the lists of passes stand here.

pub mod algorithm;
mod begin;
mod concat;
pub mod cost;
pub mod cut;
mod flatten;
mod fuse;
mod gradient;
mod halos;
mod layouts;
pub mod operation;
mod pools;
pub mod program;
mod rename;
mod select;
mod skip;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod verify;

pub use program::{Kind, Program};
pub use text::text;

use crate::shape::Shaped;

/// A pass: from one program to another. What the spec says beside its layers it finds in `Shaped`.
#[derive(Clone, Copy)]
pub struct Pass {
    /// Its name, which is that of its file.
    pub name: &'static str,
    run: fn(&Shaped, Program) -> Program,
}

/// Every layer in turn.
const EVALUATION: &[Pass] = &[Pass { name: "rename", run: rename::rename }];

/// Every layer in turn, then the gradients.
const TRAINING: &[Pass] =
    &[Pass { name: "rename", run: rename::rename }, Pass { name: "gradient", run: gradient::gradient }];

/// The frozen network.
const INFERENCE: &[Pass] = &[
    Pass { name: "skip", run: skip::skip },
    Pass { name: "fuse", run: fuse::fuse },
    Pass { name: LAYOUTS, run: layouts::layouts },
    Pass { name: "select", run: select::select },
    Pass { name: "pools", run: pools::pools },
    Pass { name: "concat", run: concat::concat },
    Pass { name: HALOS, run: halos::halos },
    Pass { name: "flatten", run: flatten::flatten },
    Pass { name: "cut", run: cut::cut },
];

/// The pass before which values have no layouts.
const LAYOUTS: &str = "layouts";
/// The pass before which halos are not what their readers want.
const HALOS: &str = "halos";

/// The program of evaluation mode.
pub fn evaluation(shaped: &Shaped) -> Program {
    lower(shaped, Kind::Evaluation, |_, _| ())
}

/// The program of a training step.
pub fn training(shaped: &Shaped) -> Program {
    lower(shaped, Kind::Training, |_, _| ())
}

/// The program of the frozen network.
pub fn inference(shaped: &Shaped) -> Program {
    lower(shaped, Kind::Inference, |_, _| ())
}

/// Makes a program by its list of passes; `see` is shown what comes out of each.
pub fn lower(shaped: &Shaped, kind: Kind, mut see: impl FnMut(&str, &Program)) -> Program {
    let passes = match kind {
        Kind::Evaluation => EVALUATION,
        Kind::Training => TRAINING,
        Kind::Inference => INFERENCE,
    };
    let mut program = begin::begin(shaped, kind);
    see("begin", &program);
    // What has no layouts to be chosen has them, all plain.
    let (mut laid_out, mut bordered) = (kind != Kind::Inference, kind != Kind::Inference);
    for pass in passes {
        program = (pass.run)(shaped, program);
        laid_out |= pass.name == LAYOUTS;
        bordered |= pass.name == HALOS;
        if cfg!(debug_assertions)
            && let Err(wrong) = verify::verify(&program, laid_out, bordered)
        {
            panic!("after `{}`: {wrong}\n{}", pass.name, text(shaped, &program));
        }
        see(pass.name, &program);
    }
    program
}
