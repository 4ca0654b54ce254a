//! No type of layer is forgotten: each has a golden case of PyTorch's, arguments for random networks, and a refusal whose text is held.

use castnet_compiler::layers::contract::LayerType;
use castnet_compiler::layers::registry::LAYERS;
use castnet_compiler::spec::argument::Fallback;
use castnet_oracle::random;
use std::fs;
use std::path::Path;

/// All files of a folder with this extension, as one text.
fn texts(folder: &str, extension: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let files = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    let files = files.filter(|path| path.extension().is_some_and(|other| other == extension));
    files.map(|path| fs::read_to_string(path).expect("the file can be read")).collect()
}

#[test]
fn a_golden_case_for_each() {
    let cases = texts("golden/ops", "toml") + &texts("golden/nets", "toml");
    let oracle = texts("golden", "py");
    for LayerType { name, arguments, .. } in LAYERS {
        assert!(cases.contains(&format!("type = \"{name}\"")), "tests/golden/generate.py has no case of {name}");
        assert!(oracle.contains(&format!("\"{name}\"")), "tests/golden/oracle.py does not know {name}");
        for argument in *arguments {
            // What flows in states it too; and how a weight begins is no case of PyTorch's numbers.
            if argument.default != Fallback::Inferred && argument.name != "init" {
                let key = format!("{} = ", argument.name);
                assert!(cases.contains(&key), "no golden case says {} ({name})", argument.name);
            }
        }
    }
}

#[test]
fn random_arguments_for_each() {
    let names: Vec<&str> = LAYERS.iter().map(|layer| layer.name).collect();
    for kind in random::KINDS {
        assert!(names.contains(&kind), "random networks have a layer {kind} that there is not");
    }
    for LayerType { name, arguments, .. } in LAYERS {
        let kind = random::KINDS.into_iter().find(|kind| kind == name);
        let kind = kind.unwrap_or_else(|| panic!("random networks have no {name}"));
        let specs: String = (0..30).map(|seed| random::layers(kind, seed, 10)).collect();
        for argument in *arguments {
            if argument.default != Fallback::Inferred && argument.name != "init" {
                let key = format!("\n{} = ", argument.name);
                assert!(specs.contains(&key), "random networks never say {} of {name}", argument.name);
            }
        }
    }
}

#[test]
fn a_refusal_for_each() {
    let errors = texts("compile_fail", "stderr");
    for LayerType { name, .. } in LAYERS {
        assert!(errors.contains(&format!("({name})")), "tests/compile_fail has no refusal of {name}");
    }
}
