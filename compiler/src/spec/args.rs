//! Reads the arguments of one layer: every key is asked for by name and kind, and what is left over is unknown.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Span;
use crate::spec::argument::{Argument, Fallback, Kind};
use crate::spec::meanings;
use crate::spec::site::Site;
use crate::spec::table::{Key, Table, Value, ValueKind};
use crate::suggest::{list_names, list_words, nearest};

/// The largest size that an argument may state, 2^31 - 1: the product of two such sizes and the sum of a few fit into 64 bits.
const MOST: usize = i32::MAX as usize;

/// An argument and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg<T> {
    /// The value.
    pub value: T,
    /// Where it stands; `None` for a default.
    pub span: Option<Span>,
    /// For a value that came in through `$name`: the name, and where the value itself is written.
    pub given: Option<(String, Span)>,
}

impl<T> Arg<T> {
    /// A value that nobody wrote.
    pub fn default(value: T) -> Self {
        Self { value, span: None, given: None }
    }

    fn new(value: T, at: &Value) -> Self {
        Self { value, span: Some(at.span.clone()), given: at.given.clone() }
    }

    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Arg<U> {
        Arg { value: f(self.value), span: self.span, given: self.given }
    }
}

/// A number for all axes, or a list with one for each.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// `2`.
    One(f64),
    /// `[2, 1.5]`.
    PerAxis(Vec<f64>),
}

/// The reader of one layer's table.
#[derive(Debug)]
pub struct Args<'a> {
    site: &'a Site,
    table: &'a Table,
    /// What the arguments are; empty for what is no layer.
    arguments: &'static [Argument],
    asked: Vec<&'static str>,
    /// Keys that must be there and are not, each with its error.
    missing: Vec<(&'static str, Diagnostic)>,
    failed: bool,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Args<'a> {
    /// A reader of `table`, whose errors speak of `site`.
    pub fn new(site: &'a Site, table: &'a Table, diagnostics: &'a mut Diagnostics) -> Self {
        Self { site, table, arguments: &[], asked: Vec::new(), missing: Vec::new(), failed: false, diagnostics }
    }

    /// The same reader for a layer whose arguments these are: what each may be, and what it is where it is left out.
    pub fn with(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    /// The layer it reads.
    pub fn site(&self) -> &Site {
        self.site
    }

    /// The keys that it was asked for so far.
    pub fn asked(&self) -> &[&'static str] {
        &self.asked
    }

    /// The line of the layer, counted from 1.
    pub fn line(&self) -> usize {
        self.site.line
    }

    /// Adds an error at an argument.
    pub fn refuse(&mut self, value: &Value, title: String, label: impl Into<String>) {
        self.refuse_with(value, title, label, |diagnostic| diagnostic);
    }

    /// Adds an error at an argument, completed by `more` with notes and help.
    pub fn refuse_with(
        &mut self,
        value: &Value,
        title: String,
        label: impl Into<String>,
        more: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        let mut diagnostic = self.site.error(title, value.span.clone(), label);
        if let Some((name, span)) = &value.given {
            diagnostic = diagnostic.context(span.clone(), format!("`${name}` is given here"));
        }
        self.diagnostics.push(more(diagnostic));
        self.failed = true;
    }

    fn wrong_kind(&mut self, key: &str, value: &Value, wanted: &str) {
        // A `$name` that is left is one that nobody knows: that has been reported.
        if value.as_str().is_some_and(|text| text.starts_with('$')) {
            self.failed = true;
            return;
        }
        let title = format!("{}: {key} must be {wanted}, not {}", self.site.title(), value.describe());
        self.refuse(value, title, format!("must be {wanted}"));
    }

    /// The raw value of a key.
    pub fn value(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.table.get(key).cloned()
    }

    /// The raw value of a key, and what stands in its place where it is left out. What must be there and is not is an error.
    fn given(&mut self, key: &'static str) -> Result<Value, Option<Fallback>> {
        if let Some(value) = self.value(key) {
            return Ok(value);
        }
        let fallback = self.argument(key).map(|argument| argument.default);
        if let Some(Fallback::Required(example)) = fallback {
            self.missing(key, example);
        }
        Err(fallback)
    }

    fn argument(&self, key: &str) -> Option<&'static Argument> {
        self.arguments.iter().find(|argument| argument.name == key)
    }

    fn missing(&mut self, key: &'static str, example: &str) {
        let title = format!("{} needs {key}", self.site.title());
        let site = self.site;
        let diagnostic = site.error(title, site.span.clone(), format!("this layer has no {key}"));
        self.missing.push((key, diagnostic.help(format!("add `{key} = {example}` to the layer"))));
        self.failed = true;
    }

    /// A whole number, 1 or more.
    pub fn size(&mut self, key: &'static str) -> Option<Arg<usize>> {
        match self.given(key) {
            Ok(value) => self.whole(key, &value, 1).map(|n| Arg::new(n, &value)),
            Err(Some(Fallback::Whole(number))) => usize::try_from(number).ok().map(Arg::default),
            Err(_) => None,
        }
    }

    /// A whole number of any sign.
    pub fn integer(&mut self, key: &'static str) -> Option<Arg<i64>> {
        let value = match self.given(key) {
            Ok(value) => value,
            Err(Some(Fallback::Whole(number))) => return Some(Arg::default(number)),
            Err(_) => return None,
        };
        match value.kind {
            ValueKind::Integer(i) => Some(Arg::new(i, &value)),
            _ => {
                self.wrong_kind(key, &value, "a whole number");
                None
            }
        }
    }

    /// A number for all `N` axes, or a list with one for each.
    pub fn sizes<const N: usize>(&mut self, key: &'static str) -> Option<Arg<[usize; N]>> {
        let least = match self.argument(key).map(|argument| argument.kind) {
            Some(Kind::PerAxis { least }) => least,
            _ => 0,
        };
        match self.given(key) {
            Ok(value) => self.read_sizes(key, &value, least).map(|sizes| Arg::new(sizes, &value)),
            Err(Some(Fallback::Whole(number))) => usize::try_from(number).ok().map(|number| Arg::default([number; N])),
            Err(_) => None,
        }
    }

    /// The same for a value already at hand.
    pub fn read_sizes<const N: usize>(&mut self, key: &str, value: &Value, least: usize) -> Option<[usize; N]> {
        match &value.kind {
            ValueKind::Array(items) if items.len() == N => {
                let sizes: Vec<Option<usize>> = items.iter().map(|item| self.whole(key, item, least)).collect();
                let sizes: Option<Vec<usize>> = sizes.into_iter().collect();
                sizes?.try_into().ok()
            }
            ValueKind::Array(items) => {
                let axes = if N == 1 { "one axis".to_string() } else { format!("{N} axes") };
                let title = format!("{} has {axes}, but {key} lists {} numbers", self.site.title(), items.len());
                self.refuse(value, title, format!("{} numbers for {axes}", items.len()));
                None
            }
            ValueKind::Integer(_) => self.whole(key, value, least).map(|n| [n; N]),
            _ => {
                let wanted = if N == 1 { "a whole number" } else { "a whole number or a list of them, one per axis" };
                self.wrong_kind(key, value, wanted);
                None
            }
        }
    }

    fn whole(&mut self, key: &str, value: &Value, least: usize) -> Option<usize> {
        match value.kind {
            ValueKind::Integer(i) => match usize::try_from(i) {
                Ok(n) if n > MOST => {
                    let title = format!("{} says {key} = {i}, which is more than {MOST}", self.site.title());
                    self.refuse(value, title, "too large");
                    None
                }
                Ok(n) if n >= least => Some(n),
                _ => {
                    let title = format!("{} says {key} = {i}, which must be {least} or more", self.site.title());
                    self.refuse(value, title, format!("must be {least} or more"));
                    None
                }
            },
            _ => {
                self.wrong_kind(key, value, "a whole number");
                None
            }
        }
    }

    /// A list of whole numbers, 1 or more each, of any length.
    pub fn size_list(&mut self, key: &'static str) -> Option<Arg<Vec<usize>>> {
        let value = self.value(key)?;
        let items = match &value.kind {
            ValueKind::Array(items) if !items.is_empty() => items.clone(),
            ValueKind::Integer(_) => vec![value.clone()],
            _ => {
                self.wrong_kind(key, &value, "a list of whole numbers");
                return None;
            }
        };
        let sizes: Vec<Option<usize>> = items.iter().map(|item| self.whole(key, item, 1)).collect();
        sizes.into_iter().collect::<Option<Vec<usize>>>().map(|sizes| Arg::new(sizes, &value))
    }

    /// A finite number, within the argument's range.
    pub fn number(&mut self, key: &'static str) -> Option<Arg<f64>> {
        let value = match self.given(key) {
            Ok(value) => value,
            Err(Some(Fallback::Number(number))) => return Some(Arg::default(number)),
            Err(_) => return None,
        };
        let number = self.read_number(key, &value)?;
        match self.argument(key).map(|argument| argument.kind) {
            Some(Kind::Number(range)) if !range.holds(number) => {
                let wanted = range.words();
                let title = format!("{} says {key} = {number}, which must be {wanted}", self.site.title());
                self.refuse(&value, title, format!("must be {wanted}"));
                None
            }
            _ => Some(Arg::new(number, &value)),
        }
    }

    /// The same for a value already at hand. It must be a finite 32-bit float.
    pub fn read_number(&mut self, key: &str, value: &Value) -> Option<f64> {
        let number = match value.kind {
            ValueKind::Integer(i) => i as f64,
            ValueKind::Float(f) => f,
            _ => {
                self.wrong_kind(key, value, "a number");
                return None;
            }
        };
        if !(number as f32).is_finite() {
            let title = format!("{} says {key} = {number}, which must be a finite number", self.site.title());
            self.refuse(value, title, "must be finite");
            return None;
        }
        Some(number)
    }

    /// A number above 0, or a list of them, one per axis.
    pub fn factors(&mut self, key: &'static str) -> Option<Arg<Numbers>> {
        let value = self.given(key).ok()?;
        let numbers = match &value.kind {
            ValueKind::Array(items) if !items.is_empty() => {
                let numbers: Vec<Option<f64>> = items.iter().map(|item| self.positive(key, item)).collect();
                Numbers::PerAxis(numbers.into_iter().collect::<Option<Vec<f64>>>()?)
            }
            ValueKind::Integer(_) | ValueKind::Float(_) => Numbers::One(self.positive(key, &value)?),
            _ => {
                self.wrong_kind(key, &value, "a number or a list of them, one per axis");
                return None;
            }
        };
        Some(Arg::new(numbers, &value))
    }

    fn positive(&mut self, key: &str, value: &Value) -> Option<f64> {
        let number = self.read_number(key, value)?;
        if number > 0.0 {
            return Some(number);
        }
        let title = format!("{} says {key} = {number}, which must be more than 0", self.site.title());
        self.refuse(value, title, "must be more than 0");
        None
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<Arg<bool>> {
        let value = match self.given(key) {
            Ok(value) => value,
            Err(Some(Fallback::Boolean(value))) => return Some(Arg::default(value)),
            Err(_) => return None,
        };
        match value.kind {
            ValueKind::Boolean(b) => Some(Arg::new(b, &value)),
            _ => {
                self.wrong_kind(key, &value, "true or false");
                None
            }
        }
    }

    /// One of the known words.
    pub fn word<T: Clone>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<Arg<T>> {
        match self.given(key) {
            Ok(value) => self.read_word(key, &value, words).map(|word| Arg::new(word, &value)),
            Err(Some(Fallback::Word(word))) => {
                words.iter().find(|(known, _)| *known == word).map(|(_, meant)| Arg::default(meant.clone()))
            }
            Err(_) => None,
        }
    }

    /// The same for a value already at hand.
    pub fn read_word<T: Clone>(&mut self, key: &str, value: &Value, words: &[(&'static str, T)]) -> Option<T> {
        let Some(text) = value.as_str() else {
            self.wrong_kind(key, value, &list_words(words.iter().map(|(word, _)| *word)));
            return None;
        };
        if let Some((_, known)) = words.iter().find(|(word, _)| *word == text) {
            return Some(known.clone());
        }
        let title = format!("{} says {key} = {text:?}, which is not known", self.site.title());
        let known = list_words(words.iter().map(|(word, _)| *word));
        let words = || words.iter().map(|(word, _)| *word);
        let other = meanings::of_other_word(key, text);
        let meant = meanings::of_word(text, words()).or_else(|| nearest(text, words()));
        self.refuse_with(value, title, format!("must be {known}"), |diagnostic| match (other, meant) {
            (Some(answer), _) => diagnostic.help(answer),
            (None, Some(near)) => diagnostic.help(format!("did you mean {near:?}?")),
            (None, None) => diagnostic,
        });
        None
    }

    /// The name of another layer.
    pub fn reference(&mut self, key: &'static str) -> Option<Arg<String>> {
        let value = self.given(key).ok()?;
        match value.as_str() {
            Some(name) => Some(Arg::new(name.to_string(), &value)),
            None => {
                self.wrong_kind(key, &value, "the name of a layer");
                None
            }
        }
    }

    /// A list of names of layers.
    pub fn references(&mut self, key: &'static str) -> Option<Vec<Arg<String>>> {
        let value = self.value(key)?;
        let ValueKind::Array(items) = &value.kind else {
            self.wrong_kind(key, &value, "a list of names of layers");
            return None;
        };
        let mut names = Vec::new();
        for item in items {
            match item.as_str() {
                Some(name) => names.push(Arg::new(name.to_string(), item)),
                None => {
                    self.wrong_kind(key, item, "the name of a layer");
                    return None;
                }
            }
        }
        Some(names)
    }

    /// Reports the keys that nothing asked for, and those that are missing but for a slip in such a key. Whether all was well.
    pub fn finish(mut self) -> bool {
        // As the table lists them, behind those that every layer has.
        let arguments = self.arguments;
        self.asked
            .sort_by_key(|key| arguments.iter().position(|argument| argument.name == *key).map_or(0, |at| at + 1));
        let unknown: Vec<Key> = self
            .table
            .entries
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !self.asked.contains(&key.name.as_str()))
            .cloned()
            .collect();
        for (key, error) in std::mem::take(&mut self.missing) {
            let meant = |other: &Key| meant_key(&other.name, &self.asked) == Some(key);
            if !unknown.iter().any(meant) {
                self.diagnostics.push(error);
            }
        }
        for key in unknown {
            self.diagnostics.push(unknown_key(self.site, &key, &self.asked));
            self.failed = true;
        }
        !self.failed
    }
}

/// The key that is meant by one that a layer does not know: by what the word means elsewhere, or else by its spelling.
fn meant_key(word: &str, known: &[&'static str]) -> Option<&'static str> {
    meanings::of_key(word, known).or_else(|| match meanings::of_other_key(word) {
        Some(_) => None,
        None => nearest(word, known.iter().copied()),
    })
}

/// The error for a key that a layer does not know.
fn unknown_key(site: &Site, key: &Key, known: &[&'static str]) -> Diagnostic {
    let title = format!("{} has no key `{}`", site.title(), key.name);
    let diagnostic = site.error(title, key.span.clone(), "not known here");
    match (meant_key(&key.name, known), meanings::of_other_key(&key.name)) {
        (Some(near), _) => diagnostic.help(format!("did you mean `{near}`?")),
        (None, Some(answer)) => diagnostic.help(answer),
        (None, None) => diagnostic.help(format!("{} knows {}", site.kind, list_names(known.iter().copied()))),
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::testing::{compiled, refused, spec};

    #[test]
    fn a_slip_in_a_key_is_one_error() {
        let layer = "type = 'conv2d'; out_channel = 4; kernel_size = 3";
        let errors = compiled(&spec("[3, 8, 8]", &[layer])).unwrap_err();
        assert_eq!(errors.matches("error").count(), 1, "{errors}");
        assert!(errors.contains("did you mean `out_channels`?"), "{errors}");
        refused(
            "[3, 8, 8]",
            &["type = 'conv2d'; kernel_size = 3; colour = 1"],
            &["needs out_channels", "no key `colour`"],
        );
    }
}
