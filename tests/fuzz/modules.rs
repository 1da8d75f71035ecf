//! `modules`: core modules that wasm-smith makes, typed functions of random types that misbehave, and guests with
//! something changed, are loaded and run.

use crate::tasks::{cluster, run_all};
use crate::types::any_type;
use crate::{Fuzz, Target, bytes, guests, loader, lowering, sections};
use arbitrary::Unstructured;
use fastrand::Rng;
use rwasm_cluster::{Blocking, Callable, Cluster, LoadBalancedView, Lowering, Module};

pub(crate) const TARGET: Target = Target {
    name: "modules",
    about: "random and changed core modules, run from end to end",
    runs: 150,
    start: || Box::new(Modules::new(GuestForm::CoreModule, guests::modules())),
};

/// The form of the guests that are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuestForm {
    CoreModule,
    Component,
}

/// Modules of one form that are made, changed and run.
pub(crate) struct Modules {
    form: GuestForm,
    cluster: Cluster,
    /// Makes the modules. A task itself: see `guest-tasks/smith`.
    smith: Callable<Vec<u8>, Vec<u8>>,
    view: Blocking<LoadBalancedView>,
    real: Vec<Vec<u8>>,
}

impl Modules {
    pub(crate) fn new(form: GuestForm, real: Vec<Vec<u8>>) -> Self {
        let cluster = cluster(Lowering::default());
        let smith = Module::from_bytes("smith", guests::guest("smith")).expect("it is a module");
        let function = match form {
            GuestForm::CoreModule => "core-module",
            GuestForm::Component => "component",
        };
        let smith = smith.function(function).expect("it has this function");
        let view = cluster.load_balanced_view().blocking();
        Self {
            form,
            cluster,
            smith,
            view,
            real,
        }
    }
}

impl Modules {
    fn random(&self, random: &mut Rng) -> Vec<u8> {
        let mut module = loop {
            let mut seed = vec![0; random.usize(64..4096)];
            random.fill(&mut seed);
            // It refuses a few seeds.
            if let Ok(module) = self.view.apply(&self.smith, seed) {
                break module;
            }
        };
        if random.u8(0..8) == 0 {
            sections::mutate(random, &mut module, &self.real);
        }
        module
    }
}

impl Fuzz for Modules {
    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        match random.u8(0..16) {
            0 => {
                let mut module = self.real[random.usize(0..self.real.len())].clone();
                sections::mutate(random, &mut module, &self.real);
                module
            }
            1 => {
                let mut module = self.real[random.usize(0..self.real.len())].clone();
                sections::touch(random, &mut module);
                module
            }
            2..9 => {
                // Typed functions that do not what they say: the host reads whatever they leave in memory.
                let seed = bytes::random(random, 256);
                let ty = any_type(&mut Unstructured::new(&seed))
                    .expect("bytes that are used up are zeros");
                let mut module = lowering::guest(&ty);
                if self.form == GuestForm::Component {
                    // Some types are none for wasmtime.
                    module = guests::component(&module).unwrap_or(module);
                }
                sections::touch(random, &mut module);
                module
            }
            _ => self.random(random),
        }
    }

    fn run(&mut self, input: &[u8]) {
        let Ok(module) = Module::from_bytes("input", input.to_vec()) else {
            return;
        };
        loader::look(&module);
        run_all(&self.cluster, &module, Unstructured::new(input));
    }
}
