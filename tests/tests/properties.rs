//! Properties of the compiler: no text makes it panic, every error points into the text, and no two values that are
//! alive at once share memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use castnet_compiler::lower::Kind;
use castnet_compiler::lower::program::{Access, Id};
use castnet_compiler::memory::{Place, Planned};
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

/// Every buffer lies within its arena, on a cache line, as large as it must be; what one call touches, and what is alive
/// between two calls that touch it, shares no float.
fn planned(compiled: &Compiled) -> Result<(), TestCaseError> {
    for planned in [&compiled.evaluation, &compiled.training, &compiled.inference] {
        let program = &planned.program;
        for arena in [Some(&planned.first), planned.second.as_ref()].into_iter().flatten() {
            let homes = (0..program.values.len()).filter(|&id| program.home(id) == id);
            for (id, place) in homes.filter_map(|id| Some((id, arena.place(program, id)?))) {
                let extent = program.values[id].extent();
                let (from, to, size, floats) = match place {
                    Place::PerSample(from, to) => (from, to, arena.size.per_sample, extent.per_sample),
                    Place::Fixed(from, to) => (from, to, arena.size.fixed, extent.fixed),
                };
                prop_assert!(from <= to && to <= size && from % 16 == 0, "{id}: {from}..{to} of {size}");
                prop_assert_eq!(to - from, floats);
            }
        }
        disjoint(planned)?;
    }
    Ok(())
}

/// Lifetimes worked out in another way than the planner does: a buffer holds something from a write to each later read.
fn disjoint(planned: &Planned) -> Result<(), TestCaseError> {
    let program = &planned.program;
    if program.kind == Kind::Inference {
        // The head reads inputs where the caller has them; the tail's arena has copies of what crosses.
        let (head, tail) = (0..program.cut, program.cut..program.calls.len());
        apart(planned, head, &[], &planned.crossing, &program.inputs)?;
        let filled: Vec<Id> = planned.crossing.iter().chain(&program.inputs).copied().collect();
        return apart(planned, tail, &filled, &program.outputs, &[]);
    }
    apart(planned, 0..program.calls.len(), &[], &[], &[])
}

/// Checks some calls: what is filled before them, taken after them, and lies elsewhere; beside what the caller does by its turns.
fn apart(
    planned: &Planned,
    calls: Range<usize>,
    filled: &[Id],
    taken: &[Id],
    elsewhere: &[Id],
) -> Result<(), TestCaseError> {
    let program = &planned.program;
    let home = |&id: &Id| program.home(id);
    let mut moments: Vec<(Vec<Id>, Vec<Id>)> = vec![(Vec::new(), filled.iter().map(home).collect())];
    let turns = program.turns();
    for at in calls.start..=calls.end {
        for turn in turns.iter().filter(|turn| turn.before == at && program.kind != Kind::Inference) {
            moments.push((turn.takes.iter().map(home).collect(), turn.fills.iter().map(home).collect()));
        }
        if at < calls.end {
            let call = &program.calls[at];
            let reads: Vec<Id> = call.reads().map(|id| program.home(id)).collect();
            let written = call.operands.iter().filter(|operand| operand.access != Access::Read);
            moments.push((reads, written.map(|operand| program.home(operand.value)).collect()));
        }
    }
    moments.push((taken.iter().map(home).collect(), Vec::new()));
    // A buffer with parts, which several calls write, lives from the first of them on.
    let mut first: BTreeMap<Id, usize> = BTreeMap::new();
    for (at, (_, writes)) in moments.iter().enumerate() {
        writes.iter().for_each(|&id| _ = first.entry(id).or_insert(at));
    }
    let arena = planned.arena(calls.start);
    // Backward over the moments: what is read later and not written before is alive.
    let mut alive: BTreeSet<Id> = BTreeSet::new();
    for (at, (reads, writes)) in moments.iter().enumerate().rev() {
        // While a call runs, what it reads, what it writes and what is needed afterwards are all there.
        alive.extend(reads.iter().chain(writes).filter(|id| !elsewhere.contains(id)));
        // At the caller's moment outputs are read before gradients are written; both are there all the same.
        let now: Vec<Id> = alive.iter().copied().filter(|&id| arena.place(program, id).is_some()).collect();
        for (i, &a) in now.iter().enumerate() {
            for &b in &now[i + 1..] {
                let places = [a, b].map(|id| arena.place(program, id));
                let [Some(of_a), Some(of_b)] = places else { continue };
                prop_assert!(!of_a.overlaps(of_b), "{a} and {b} share memory");
            }
        }
        for written in writes {
            if !reads.contains(written) && first.get(written) == Some(&at) {
                alive.remove(written);
            }
        }
    }
    prop_assert!(alive.is_empty(), "read and never written: {alive:?}");
    Ok(())
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
