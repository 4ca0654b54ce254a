//! Words in messages: the nearest known one to one that is not known, and lists of them.

use strsim::osa_distance;

/// The most bytes of a word that is compared with the known ones, of which none is half as long. The time that this takes grows with
/// its length.
pub const MOST: usize = 256;

/// A word without what people write differently: case, `_`, `-`, `.` and spaces.
pub fn plain(word: &str) -> String {
    // Nothing that is longer is looked for.
    if word.len() > MOST {
        return word.to_string();
    }
    word.to_lowercase().replace(['-', '_', ' ', '.'], "")
}

/// The candidate with the smallest edit distance to `word`, if it is near enough to be what was meant:
/// at most a third of the longer word's letters differ, or the candidate contains the word.
/// (A word that contains a candidate is more than that, and often the opposite.)
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MOST {
        return None;
    }
    let wanted = plain(word);
    candidates
        .into_iter()
        .map(|candidate| {
            let known = plain(candidate);
            let (few, many) = (wanted.chars().count(), known.chars().count());
            let most = few.max(many).div_ceil(3);
            // `convolution2d` for `conv2d`: they begin alike and end alike.
            let alike = |a: &mut dyn Iterator<Item = (char, char)>| a.take_while(|(a, b)| a == b).count();
            let begin = alike(&mut wanted.chars().zip(known.chars()));
            let end = alike(&mut wanted.chars().rev().zip(known.chars().rev()));
            let ends = begin >= 3 && begin + end >= known.len();
            let inside = ends || wanted.len() >= 3 && known.contains(&wanted);
            // Each letter more is a step at least.
            if few.abs_diff(many) > most && !inside {
                return (usize::MAX, false, candidate);
            }
            let distance = osa_distance(&wanted, &known);
            let near = distance <= most;
            (if near { distance } else { distance + 100 }, near || inside, candidate)
        })
        .filter(|(_, close, _)| *close)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

/// `"a", "b" or "c"`.
pub fn list_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    join_last(words.into_iter().map(|word| format!("{word:?}")).collect(), "or")
}

/// `a, b and c`.
pub fn list_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    join_last(names.into_iter().map(str::to_string).collect(), "and")
}

fn join_last(mut words: Vec<String>, link: &str) -> String {
    match words.pop() {
        None => String::new(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} {link} {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let types = ["conv2d", "conv1d", "max_pool2d", "avg_pool2d", "linear", "relu", "batch_norm2d"];
        assert_eq!(nearest("con2d", types), Some("conv2d"));
        assert_eq!(nearest("Conv2d", types), Some("conv2d"));
        assert_eq!(nearest("MaxPool2d", types), Some("max_pool2d"));
        assert_eq!(nearest("batchnorm", types), Some("batch_norm2d"));
        assert_eq!(nearest("lienar", types), Some("linear"));
        assert_eq!(nearest("transformer", types), None);
    }

    #[test]
    fn a_swap_is_one_step() {
        assert_eq!(nearest("ilnear", ["linear"]), Some("linear"));
        assert_eq!(nearest("ab", ["ba"]), Some("ba"));
        assert_eq!(nearest(&"linear".repeat(100), ["linear"]), None);
    }
}
