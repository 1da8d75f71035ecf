//! `loader`: bytes that may be a module become one, or are refused by one sentence.

use crate::bytes::{self, seeds};
use crate::{Fuzz, Target, guests, sections, text};
use fastrand::Rng;
use rwasm_cluster::Module;

pub(crate) const TARGET: Target = Target {
    name: "loader",
    about: "bytes, text and changed modules into the loader",
    runs: 6000,
    start: || {
        let mut modules = guests::modules();
        modules.extend(guests::components());
        let (texts, binaries) = seeds("loader")
            .into_iter()
            .partition(|seed| !seed.starts_with(b"\0asm"));
        modules.extend::<Vec<Vec<u8>>>(binaries);
        Box::new(Loader { modules, texts })
    },
};

struct Loader {
    modules: Vec<Vec<u8>>,
    texts: Vec<Vec<u8>>,
}

/// The most that an error says, beyond what the module itself has for names.
const LONGEST_ERROR: usize = 4096;

impl Fuzz for Loader {
    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        let mut module = self.modules[random.usize(0..self.modules.len())].clone();
        match random.u8(0..16) {
            0 => bytes::random(random, 4096),
            1 => {
                module.truncate(random.usize(0..=module.len()));
                module
            }
            2 | 3 => {
                bytes::mutate(random, &mut module, &self.modules);
                module
            }
            4..7 => {
                let text = &self.texts[random.usize(0..self.texts.len())];
                let mut text = String::from_utf8_lossy(text).into_owned();
                text::mutate(random, &mut text);
                text.into_bytes()
            }
            7 => {
                // Parsed from here on as if there were no header at all.
                let mut start = b"\0asm\x01\0\0\0".to_vec();
                start.extend(bytes::random(random, 1024));
                start
            }
            _ => {
                sections::mutate(random, &mut module, &self.modules);
                module
            }
        }
    }

    fn run(&mut self, input: &[u8]) {
        match Module::from_bytes("input", input.to_vec()) {
            Ok(module) => look(&module),
            Err(error) => {
                let message = error.to_string();
                assert!(!message.is_empty());
                assert!(
                    message.len() <= LONGEST_ERROR + 2 * input.len(),
                    "an error of {} bytes",
                    message.len()
                );
            }
        }
    }
}

/// Everything that may be asked of a module.
pub(crate) fn look(module: &Module) {
    for function in module.functions() {
        assert!(!function.to_string().is_empty());
        // An earlier one of the same name may stand for it.
        assert!(module.signature(&function.name).is_some());
        assert!(module.dynamic_function(&function.name).is_ok());
    }
    for import in module.imports() {
        assert!(import.module.len() + import.name.len() <= 1 << 20);
    }
    assert_eq!(module.hash().to_string().len(), 64);
}
