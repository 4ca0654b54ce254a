//! What compiler and runtime both say of a weights file: the one reads it while compiling, the other at run time, by the same rules.

use core::fmt;

/// The layer, with its dot, whose batches a tensor of this name counts: PyTorch keeps the count for a momentum that no spec can ask for,
/// so that nothing needs it.
pub fn batches_of(name: &str) -> Option<&str> {
    name.strip_suffix("num_batches_tracked")
}

/// A prefix that every name in a file has, and no name of the network: the file is the state dict of a module that holds the network, as
/// `nn.DataParallel` (`module.`), `torch.compile` (`_orig_mod.`) and trainers (`model.`) make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<'a>(pub &'a str);

impl<'a> Prefix<'a> {
    /// The shortest prefix that ends with a dot, if every name has it and goes on as one that is `known`.
    pub fn of(names: impl Iterator<Item = &'a str> + Clone, known: impl Fn(&str) -> bool) -> Option<Self> {
        let first = names.clone().next()?;
        let known = |name: &str| known(name) || batches_of(name).is_some();
        let prefixes = first.match_indices('.').map(|(dot, _)| &first[..=dot]);
        let fits = |prefix: &&str| names.clone().all(|name| name.strip_prefix(*prefix).is_some_and(known));
        prefixes.into_iter().find(fits).map(Prefix)
    }
}

impl fmt::Display for Prefix<'_> {
    /// What is the matter, and what mends it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "every name in the file begins with `{}`: save the state dict of the module that is called so, or take it off \
             the names",
            self.0
        )
    }
}

/// As many of a file's first bytes as [`other_format`] looks at.
pub const BEGINNING: usize = 32;

/// What a file that is not safetensors is instead, where its first bytes tell, and what mends it.
pub fn other_format(beginning: &[u8]) -> Option<&'static str> {
    if beginning.starts_with(b"PK\x03\x04") {
        return Some(
            "this looks like a file of torch.save: write it with \
             safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")",
        );
    }
    if beginning.starts_with(b"version https://git-lfs") {
        return Some("this is a pointer to a file in Git LFS: fetch it with `git lfs pull`");
    }
    None
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    const NETWORK: [&str; 3] = ["conv1.weight", "bn1.running_mean", "model.fc.bias"];

    fn prefix<'a>(names: &[&'a str]) -> Option<&'a str> {
        Prefix::of(names.iter().copied(), |name| NETWORK.contains(&name)).map(|prefix| prefix.0)
    }

    #[test]
    fn a_prefix_is_one_that_all_names_have() {
        assert_eq!(prefix(&["module.conv1.weight", "module.bn1.num_batches_tracked"]), Some("module."));
        assert_eq!(
            prefix(&["_orig_mod.module.conv1.weight", "_orig_mod.module.model.fc.bias"]),
            Some("_orig_mod.module.")
        );
        // The network's own first part is none.
        assert_eq!(prefix(&["model.model.fc.bias"]), Some("model."));
        for names in [
            &[][..],
            &["conv1.weight"],
            &["module.conv1.weight", "bn1.running_mean"],
            &["module.conv1.weight", "module.conv2.weight"],
            &["module.conv1.weight", "model.bn1.running_mean"],
        ] {
            assert_eq!(prefix(names), None, "{names:?}");
        }
    }

    #[test]
    fn it_says_what_mends_it() {
        assert_eq!(
            Prefix("module.").to_string(),
            "every name in the file begins with `module.`: save the state dict of the module that is called so, or take it \
             off the names"
        );
        assert!(other_format(b"PK\x03\x04 and so on").is_some_and(|help| help.contains("torch.save")));
        assert!(
            other_format(b"version https://git-lfs.github.com/spec/v1").is_some_and(|help| help.contains("git lfs"))
        );
        assert_eq!(other_format(b""), None);
    }
}
