//! The nearest known word to one that is not known.

/// The candidate with the smallest edit distance to `word`, if it is near enough to be what was meant:
/// at most a third of the longer word's letters differ, or one contains the other.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(word);
    candidates
        .into_iter()
        .map(|candidate| {
            let known = plain(candidate);
            let distance = edit_distance(&wanted, &known);
            // `convolution2d` for `conv2d`: they begin alike and end alike.
            let alike = |a: &mut dyn Iterator<Item = (char, char)>| a.take_while(|(a, b)| a == b).count();
            let begin = alike(&mut wanted.chars().zip(known.chars()));
            let end = alike(&mut wanted.chars().rev().zip(known.chars().rev()));
            let ends = begin >= 3 && begin + end >= known.len();
            let inside =
                ends || wanted.len() >= 3 && (known.contains(&wanted) || wanted.contains(&known) && known.len() >= 3);
            let near = distance <= wanted.chars().count().max(known.chars().count()).div_ceil(3);
            (if near { distance } else { distance + 100 }, near || inside, candidate)
        })
        .filter(|(_, close, _)| *close)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

/// Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, replacements and swaps of neighbours.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
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
    fn counts_swaps_as_one() {
        assert_eq!(edit_distance("ab", "ba"), 1);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("stride", "strides"), 1);
    }
}
