//! What people mean by words that other frameworks have: answered before anything that is only spelled alike, since `hardtanh` is no
//! `tanh` and `unflatten` is the opposite of `flatten`.
//!
//! A word longer than any that is compared has no meaning. Words are compared without case, `_`, `-` and the module in front, so that PyTorch's `nn.ReLU` and `relu_` are `relu`.

mod keys;
mod types;
mod words;

use crate::suggest::{MOST, plain};
use keys::{KEYS, OTHER_KEYS};
use types::{THREE_AXES, TYPES};
use words::{OTHER_WORDS, WORDS};

/// Words and the answer to them, as a help in an error.
type Answers = &'static [(&'static [&'static str], &'static str)];

/// The answer to a type that there is not.
pub(super) fn of_type(word: &str) -> Option<&'static str> {
    if word.len() > MOST {
        return None;
    }
    let word = bare(word);
    answer(TYPES, &word).or_else(|| word.ends_with("3d").then_some(THREE_AXES))
}

/// The plain name of a type, without the module in front (`torch.nn.Conv2d`).
pub(super) fn bare(word: &str) -> String {
    plain(word.rsplit('.').next().unwrap_or(word))
}

fn answer(answers: Answers, word: &str) -> Option<&'static str> {
    answers.iter().find(|(words, _)| words.iter().any(|known| plain(known) == word)).map(|(_, answer)| *answer)
}

/// The key that is meant by one that a layer does not know, among those that it does.
pub(super) fn of_key(word: &str, known: &[&'static str]) -> Option<&'static str> {
    if word.len() > MOST {
        return None;
    }
    let word = plain(word);
    let meant = KEYS.iter().filter(|(words, _)| words.iter().any(|other| plain(other) == word));
    meant.flat_map(|(_, keys)| keys.iter()).find_map(|key| known.iter().copied().find(|known| known == key))
}

/// The answer to a key that no layer has.
pub(super) fn of_other_key(word: &str) -> Option<&'static str> {
    if word.len() > MOST {
        return None;
    }
    answer(OTHER_KEYS, &plain(word))
}

/// The word that is meant by one that a key does not take, among those that it does.
pub(super) fn of_word<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MOST {
        return None;
    }
    let word = plain(word);
    let meant =
        |known: &&str| WORDS.iter().any(|(words, key)| key == known && words.iter().any(|other| plain(other) == word));
    let mut known = known;
    known.find(meant)
}

/// The answer to a word for which a key has none.
pub(super) fn of_other_word(key: &str, word: &str) -> Option<&'static str> {
    if word.len() > MOST {
        return None;
    }
    let word = plain(word);
    let found =
        OTHER_WORDS.iter().find(|(own, words, _)| *own == key && words.iter().any(|other| plain(other) == word));
    found.map(|(.., answer)| *answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::registry::{LAYERS, find};
    use crate::layers::testing::refused_spec;
    use std::collections::HashSet;

    /// The words in quotes behind `type = ` and behind the `"`s of a list of types.
    fn types_in(answer: &str) -> Vec<&str> {
        answer.split('"').skip(1).step_by(2).filter(|word| find(word).is_some()).collect()
    }

    #[test]
    fn answers_name_types_that_there_are() {
        for (words, answer) in TYPES {
            assert!(!answer.starts_with("write type") || !types_in(answer).is_empty(), "{words:?}: {answer}");
            for (_, behind) in answer.match_indices("type = \"").map(|(at, begin)| (at, &answer[at + begin.len()..])) {
                let word = behind.split('"').next().unwrap_or_default();
                assert!(find(word).is_some(), "{words:?}: {answer}");
            }
        }
    }

    #[test]
    fn a_word_has_one_meaning() {
        let mut seen = HashSet::new();
        for word in TYPES.iter().flat_map(|(words, _)| words.iter()) {
            seen.insert(bare(word));
            assert!(LAYERS.iter().all(|layer| plain(layer.name) != bare(word)), "{word} is a type");
        }
        assert_eq!(seen.len(), TYPES.iter().map(|(words, _)| words.len()).sum::<usize>(), "a word stands twice");
    }

    #[test]
    fn other_frameworks_words_are_understood() {
        let cases = [
            ("swish", "\"silu\""),
            ("Dense", "\"linear\""),
            ("nn.InstanceNorm2d", "\"group_norm\" with num_groups = the number of channels"),
            ("log_sigmoid", "no such layer"),
            ("nn.LogSigmoid", "no such layer"),
            ("unflatten", "flatten alone"),
            ("hardtanh", "relu6 cuts off at 0 and 6"),
            ("adaptive_avg_pool1d", "\"avg_pool1d\" with the kernel_size"),
            ("relu_", "did you mean \"relu\"?"),
            ("torch.nn.ReLU", "did you mean \"relu\"?"),
            ("BatchNorm2d", "did you mean \"batch_norm2d\"?"),
            ("BatchNorm3d", "no layers of three axes"),
            ("GlobalAveragePooling2D", "\"adaptive_avg_pool2d\" with output_size = 1"),
            ("chunk", "no layer that takes a part"),
            ("ZeroPad2d", "write padding = …"),
        ];
        for (word, answer) in cases {
            let spec = format!("[network]\ninput = [3, 8, 8]\n[[layer]]\ntype = {word:?}\n");
            refused_spec(&spec, &[&format!("there is no layer type {word:?}"), answer]);
        }
    }

    #[test]
    fn other_frameworks_arguments_are_understood() {
        let cases = [
            ("conv2d", "filters", "out_channels"),
            ("conv2d", "strides", "stride"),
            ("conv2d", "rate", "dilation"),
            ("dropout", "rate", "p"),
            ("linear", "units", "out_features"),
            ("max_pool2d", "pool_size", "kernel_size"),
            ("batch_norm2d", "epsilon", "eps"),
            ("softmax", "axis", "dim"),
            ("leaky_relu", "alpha", "negative_slope"),
            ("group_norm", "groups", "num_groups"),
        ];
        for (kind, key, meant) in cases {
            let spec = format!("[network]\ninput = [3, 8, 8]\n[[layer]]\ntype = {kind:?}\n{key} = 1\n");
            refused_spec(&spec, &[&format!("has no key `{key}`"), &format!("did you mean `{meant}`?")]);
        }
        let spec = "[network]\ninput = [3, 8, 8]\n[[layer]]\ntype = \"relu\"\ninplace = true\n";
        refused_spec(spec, &["has no key `inplace`", "leave it out"]);
    }

    #[test]
    fn other_frameworks_values_are_understood() {
        let known = |words: &'static [&'static str]| words.iter().copied();
        assert_eq!(of_word("MAE", known(&["mse", "l1"])), Some("l1"));
        assert_eq!(of_word("he_normal", known(&["kaiming_uniform", "kaiming_normal"])), Some("kaiming_normal"));
        assert_eq!(of_word("edge", known(&["zeros", "replicate"])), Some("replicate"));
        assert_eq!(of_word("symmetric", known(&["zeros", "reflect"])), None);
        assert!(of_other_word("padding_mode", "symmetric").is_some_and(|answer| answer.contains("repeats")));
        assert_eq!(of_other_word("padding", "symmetric"), None);
    }
}
