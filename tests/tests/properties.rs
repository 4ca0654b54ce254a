//! Properties of the compiler: no text makes it panic, every error points into the text, and no two values that are
//! alive at once share memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use castnet_compiler::memory::{Place, Planned};
use castnet_compiler::program::StorageId;
use castnet_compiler::{Compiled, Failure, Source, compile};
use castnet_oracle::random;
use proptest::prelude::*;

/// The texts that are edited: golden cases, the networks people start from, specs that are refused, random ones.
fn texts() -> &'static [String] {
    static TEXTS: OnceLock<Vec<String>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        for folder in ["golden/ops", "golden/nets", "compile_fail", "../specs"] {
            tomls(&root.join(folder), &mut paths);
        }
        paths.sort();
        assert!(paths.len() > 200, "{}", paths.len());
        let read = |path: &PathBuf| std::fs::read_to_string(path).ok();
        paths.iter().filter_map(read).chain((0..60).map(|seed| random::spec(seed, 16))).collect()
    })
}

fn tomls(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
}

/// Compiles a text and checks what comes of it.
fn check(text: &str) -> Result<(), TestCaseError> {
    let source = Source::new("spec.toml", text);
    match compile(&source) {
        Ok(compiled) => planned(&compiled),
        Err(failure) => refused(&failure, &source),
    }
}

fn refused(failure: &Failure, source: &Source) -> Result<(), TestCaseError> {
    prop_assert!(!failure.diagnostics.is_empty(), "refused without a word");
    for diagnostic in &failure.diagnostics {
        prop_assert!(!diagnostic.title().trim().is_empty());
        prop_assert!(!diagnostic.title().contains('\n'), "{}", diagnostic.title());
        if let Some(span) = diagnostic.span() {
            prop_assert!(span.start <= span.end && span.end <= source.text().len(), "{span:?}: {}", diagnostic.title());
            let whole = source.text().is_char_boundary(span.start) && source.text().is_char_boundary(span.end);
            prop_assert!(whole, "{span:?} splits a character: {}", diagnostic.title());
        }
        prop_assert!(diagnostic.render(source).starts_with("error"));
        prop_assert!(!diagnostic.message(source).is_empty());
    }
    Ok(())
}

/// Every storage lies within the arena, on a cache line, as large as it must be; what one step touches, and what is alive
/// between two steps that touch it, shares no float.
fn planned(compiled: &Compiled) -> Result<(), TestCaseError> {
    for planned in [&compiled.evaluation, &compiled.training] {
        let program = &planned.program;
        for (id, storage) in program.storages.iter().enumerate() {
            let (from, to, size, floats) = match planned.places[id] {
                Place::PerSample(from, to) => (from, to, planned.size.per_sample, storage.extent.per_sample),
                Place::Fixed(from, to) => (from, to, planned.size.fixed, storage.extent.fixed),
            };
            prop_assert!(from <= to && to <= size && from % 16 == 0, "{id}: {from}..{to} of {size}");
            prop_assert_eq!(to - from, floats);
        }
        disjoint(planned)?;
    }
    Ok(())
}

/// Lifetimes worked out in another way than the planner does: a storage holds something from a write to each later read.
fn disjoint(planned: &Planned) -> Result<(), TestCaseError> {
    let program = &planned.program;
    // The moments: the caller writes the inputs, the forward steps, the caller reads the outputs and writes their gradients,
    // the backward steps, the caller reads the gradients of the inputs.
    let mut moments: Vec<(Vec<StorageId>, Vec<StorageId>)> = Vec::new();
    moments.push((Vec::new(), program.inputs.clone()));
    for (i, step) in program.steps.iter().enumerate() {
        if i == program.forward {
            moments.push((program.outputs.clone(), program.output_gradients.clone()));
        }
        let mut reads: Vec<StorageId> =
            step.operands.iter().filter(|operand| !operand.writes).map(|operand| operand.storage).collect();
        let writes: Vec<StorageId> =
            step.operands.iter().filter(|operand| operand.writes).map(|operand| operand.storage).collect();
        if matches!(step.action, castnet_compiler::program::Action::Accumulate) {
            reads.extend(&writes);
        }
        moments.push((reads, writes));
    }
    if program.forward == program.steps.len() {
        moments.push((program.outputs.clone(), program.output_gradients.clone()));
    }
    moments.push((program.input_gradients.clone(), Vec::new()));
    // Backward over the moments: what is read later and not written before is alive.
    let mut alive: BTreeSet<StorageId> = BTreeSet::new();
    for (reads, writes) in moments.iter().rev() {
        // While a step runs, what it reads, what it writes and what is needed afterwards are all there.
        alive.extend(reads.iter().chain(writes));
        // At the caller's moment outputs are read before gradients are written; both are there all the same.
        let now: Vec<StorageId> = alive.iter().copied().collect();
        for (i, &a) in now.iter().enumerate() {
            for &b in &now[i + 1..] {
                prop_assert!(!overlap(planned.places[a], planned.places[b]), "{a} and {b} share memory");
            }
        }
        for written in writes {
            if !reads.contains(written) {
                alive.remove(written);
            }
        }
    }
    prop_assert!(alive.is_empty(), "read and never written: {alive:?}");
    Ok(())
}

fn overlap(a: Place, b: Place) -> bool {
    match (a, b) {
        (Place::PerSample(a0, a1), Place::PerSample(b0, b1)) | (Place::Fixed(a0, a1), Place::Fixed(b0, b1)) => {
            a0 < b1 && b0 < a1
        }
        _ => false,
    }
}

#[test]
fn plans_of_all_networks_that_ship_keep_values_apart() {
    let mut compiled = 0;
    for text in texts() {
        check(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        compiled += usize::from(compile(&Source::new("spec.toml", text.as_str())).is_ok());
    }
    assert!(compiled > 180, "{compiled}");
}

/// Where a block is placed more often than any network needs, placing ends with an error: also where it places nothing.
#[test]
fn a_repeat_without_end_is_refused() {
    let nested = |inner: &str| {
        format!(
            "[network]\ninput = [3]\n[[layer]]\nblock = \"outer\"\nrepeat = 1000000\n\
             [[block.outer.layer]]\nblock = \"inner\"\nrepeat = 1000000\n{inner}"
        )
    };
    for text in [nested("[[block.inner.layer]]\ntype = \"relu\"\n"), nested("[block.inner]\n"), nested("")] {
        check(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let source = Source::new("spec.toml", text.as_str());
        let failure = compile(&source).expect_err("it is too large");
        let told = failure.diagnostics.iter().any(|error| error.title().contains("more than 20000 layers and blocks"));
        assert!(told, "{}", failure.render(&source));
    }
}

/// What may be written where another value stood.
const VALUES: [&str; 44] = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "-1",
    "-2",
    "16",
    "100",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "35184372088832",
    "9223372036854775807",
    "-9223372036854775808",
    "0.5",
    "-0.5",
    "1e-300",
    "1e300",
    "1e39",
    "inf",
    "nan",
    "true",
    "false",
    "\"same\"",
    "\"valid\"",
    "\"\"",
    "\"é\"",
    "\"input\"",
    "\"@input\"",
    "\"$channels\"",
    "\"$\"",
    "[]",
    "[1]",
    "[2, 3]",
    "[3, 4, 5]",
    "[1, 2, 3, 4]",
    "[0, 1]",
    "{}",
    "{ normal = 1 }",
    "1979-05-27",
];

/// Words that a line may be given.
const LINES: [&str; 24] = [
    "[[layer]]",
    "[network]",
    "[block.unit]",
    "[[block.unit.layer]]",
    "type = \"relu\"",
    "type = \"add\"",
    "type = \"concat\"",
    "type = \"flatten\"",
    "type = \"max_unpool2d\"",
    "type = \"conv2d\"",
    "block = \"unit\"",
    "repeat = 3",
    "repeat = 99999999",
    "inputs = [\"input\", \"input\"]",
    "inputs = { a = [3, 8, 8], b = [2] }",
    "input = \"input\"",
    "outputs = [\"relu1\"]",
    "padding = 1000000000",
    "dilation = 4294967296",
    "kernel_size = 9223372036854775807",
    "groups = 3",
    "loss = \"nll\"",
    "params = { channels = 3 }",
    "with = { channels = 3 }",
];

/// An edit of a text, at a place that is a share of its length.
#[derive(Clone, Debug)]
enum Edit {
    /// Cuts bytes.
    Cut(u32, u8),
    /// Writes a character.
    Insert(u32, char),
    /// Takes a line away.
    DropLine(u32),
    /// Writes a line twice.
    RepeatLine(u32),
    /// Puts a line before another.
    Line(u32, usize),
    /// Gives a key another value.
    Value(u32, usize),
    /// Exchanges two lines.
    Swap(u32, u32),
    /// Puts a line of another text in.
    Borrow(u32, usize, u32),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<u32>();
    prop_oneof![
        1 => (at, 1..20u8).prop_map(|(at, len)| Edit::Cut(at, len)),
        1 => (at, prop_oneof![prop::char::range(' ', '~'), any::<char>()]).prop_map(|(at, c)| Edit::Insert(at, c)),
        1 => at.prop_map(Edit::DropLine),
        1 => at.prop_map(Edit::RepeatLine),
        2 => (at, 0..LINES.len()).prop_map(|(at, line)| Edit::Line(at, line)),
        6 => (at, 0..VALUES.len()).prop_map(|(at, value)| Edit::Value(at, value)),
        1 => (at, any::<u32>()).prop_map(|(a, b)| Edit::Swap(a, b)),
        1 => (at, any::<usize>(), any::<u32>()).prop_map(|(at, text, from)| Edit::Borrow(at, text, from)),
    ]
}

fn apply(text: &mut String, edit: &Edit) {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    let place = |at: u32, len: usize| ((u64::from(at) * len as u64) >> 32) as usize;
    let char_at = |text: &str, at: u32| {
        let mut at = place(at, text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    if lines.is_empty() {
        lines.push(String::new());
    }
    match *edit {
        Edit::Cut(at, len) => {
            let from = char_at(text, at);
            let mut to = (from + usize::from(len)).min(text.len());
            while !text.is_char_boundary(to) {
                to -= 1;
            }
            text.replace_range(from..to, "");
            return;
        }
        Edit::Insert(at, c) => {
            let at = char_at(text, at);
            return text.insert(at, c);
        }
        Edit::DropLine(at) => {
            lines.remove(place(at, lines.len()));
        }
        Edit::RepeatLine(at) => {
            let at = place(at, lines.len());
            lines.insert(at, lines[at].clone());
        }
        Edit::Line(at, line) => lines.insert(place(at, lines.len() + 1), LINES[line].into()),
        Edit::Value(at, value) => {
            let keyed: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].contains('=')).collect();
            if !keyed.is_empty() {
                let line = &mut lines[keyed[place(at, keyed.len())]];
                let (key, _) = line.split_once('=').expect("it was found");
                *line = format!("{key}= {}", VALUES[value]);
            }
        }
        Edit::Swap(a, b) => {
            let (a, b) = (place(a, lines.len()), place(b, lines.len()));
            lines.swap(a, b);
        }
        Edit::Borrow(at, other, from) => {
            let other: Vec<&str> = texts()[other % texts().len()].lines().collect();
            if !other.is_empty() {
                lines.insert(place(at, lines.len() + 1), other[place(from, other.len())].to_string());
            }
        }
    }
    *text = lines.join("\n");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(600),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn edited_specs_compile_or_say_why_not(which in any::<usize>(), edits in prop::collection::vec(edit(), 1..5)) {
        let mut text = texts()[which % texts().len()].clone();
        for edit in &edits {
            apply(&mut text, edit);
        }
        check(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
    }

    #[test]
    fn any_text_compiles_or_says_why_not(text in "(\\[|\\]|\\{|\\}|=|\"|,|\\.|\n|#|[a-z]|[0-9]|\\PC| ){0,80}") {
        check(&text)?;
    }

    #[test]
    fn random_specs_compile_and_keep_values_apart(seed in any::<u64>(), layers in 1..60usize) {
        let text = random::spec(seed, layers);
        let source = Source::new("spec.toml", text.as_str());
        match compile(&source) {
            Ok(compiled) => planned(&compiled)?,
            Err(failure) => prop_assert!(false, "{}\n{}", failure.render(&source), text),
        }
    }
}
