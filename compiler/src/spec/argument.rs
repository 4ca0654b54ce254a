//! What a layer's arguments are: one table for each type, from which they are read and checked, and which the page of the spec format
//! shows.

use crate::suggest::list_words;

/// One argument of a type of layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Argument {
    /// Its key.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it is where it is left out.
    pub default: Fallback,
    /// What it says, in a line.
    pub about: &'static str,
}

/// The values that an argument takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number of 1 or more.
    Size,
    /// A whole number of any sign.
    Integer,
    /// A whole number for all axes or one for each, none below `least`.
    PerAxis {
        /// The smallest.
        least: usize,
    },
    /// [`Kind::PerAxis`] of 0 or more, or one of these words.
    PerAxisOr(&'static [&'static str]),
    /// A list of whole numbers of 1 or more.
    Sizes,
    /// A finite number within a range.
    Number(Range),
    /// A number above 0 for all axes, or one for each.
    Factors,
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Word(&'static [&'static str]),
    /// How a weight begins.
    Init,
    /// The name of a layer.
    Reference,
}

/// Where a number may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Anywhere.
    Any,
    /// Above 0.
    Positive,
    /// 0 or above.
    NotNegative,
    /// From 0 to 1.
    Unit,
}

impl Range {
    /// Whether a number lies in it.
    pub fn holds(self, number: f64) -> bool {
        match self {
            Range::Any => true,
            Range::Positive => number > 0.0,
            Range::NotNegative => number >= 0.0,
            Range::Unit => (0.0..=1.0).contains(&number),
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Range::Any => "finite",
            Range::Positive => "more than 0",
            Range::NotNegative => "0 or more",
            Range::Unit => "between 0 and 1",
        }
    }
}

/// What an argument is where it is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fallback {
    /// An error, which shows this value.
    Required(&'static str),
    /// What flows in tells, and checks it where it is stated.
    Inferred,
    /// What another argument is.
    Same(&'static str),
    /// What these words say.
    Described(&'static str),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A word.
    Word(&'static str),
}

impl Argument {
    /// An argument with what a person must know of it.
    pub const fn new(name: &'static str, kind: Kind, default: Fallback, about: &'static str) -> Self {
        Self { name, kind, default, about }
    }

    /// Whether its value is the name of a layer.
    pub fn is_reference(&self) -> bool {
        self.kind == Kind::Reference
    }

    /// The name with its default, as the page of the spec format shows it.
    pub fn with_default(&self) -> String {
        let default = match self.default {
            Fallback::Required(_) => return format!("`{}`", self.name),
            Fallback::Inferred => "inferred".to_string(),
            Fallback::Same(other) => other.to_string(),
            Fallback::Described(words) => words.to_string(),
            Fallback::Whole(number) => number.to_string(),
            Fallback::Number(number) => number_text(number),
            Fallback::Boolean(value) => value.to_string(),
            Fallback::Word(word) => format!("{word:?}"),
        };
        format!("`{}` ({default})", self.name)
    }

    /// Its values in words.
    pub fn values(&self) -> String {
        match self.kind {
            Kind::Size => "a whole number, 1 or more".to_string(),
            Kind::Integer => "a whole number".to_string(),
            Kind::PerAxis { least } => format!("whole numbers, {least} or more: one for all axes or one for each"),
            Kind::PerAxisOr(words) => {
                let list: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("whole numbers, 0 or more: one for all axes or one for each; {}", list.join(", "))
            }
            Kind::Sizes => "a list of whole numbers, 1 or more each".to_string(),
            Kind::Number(Range::Any) => "a number".to_string(),
            Kind::Number(range) => format!("a number, {}", range.words()),
            Kind::Factors => "numbers, more than 0: one for all axes or one for each".to_string(),
            Kind::Boolean => "true or false".to_string(),
            Kind::Word(words) => list_words(words.iter().copied()),
            Kind::Reference => "the name of a layer".to_string(),
            Kind::Init => "a word, or `{ normal = … }`, `{ uniform = … }`".to_string(),
        }
    }
}

/// `0.01`, `1e-5`, `1/3`.
fn number_text(number: f64) -> String {
    let (plain, inverse) = (format!("{number:?}"), 1.0 / number);
    match plain.len() {
        0..=6 => plain,
        _ if inverse.fract() == 0.0 => format!("1/{inverse}"),
        _ => format!("{number:e}"),
    }
}

/// The words of pairs of a word and what it means.
pub const fn words<T, const N: usize>(pairs: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut i = 0;
    while i < N {
        words[i] = pairs[i].0;
        i += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_do() {
        let texts = [0.01, 1e-5, 1e-4, 0.75, 1.0, 1.0 / 3.0, 0.125].map(number_text);
        assert_eq!(texts, ["0.01", "1e-5", "0.0001", "0.75", "1.0", "1/3", "0.125"]);
    }
}
