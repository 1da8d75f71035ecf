//! `components`: the same as `modules` with components: those of wasm-smith, and core modules made components.

use crate::modules::{GuestForm, Modules};
use crate::{Target, guests};

pub(crate) const TARGET: Target = Target {
    name: "components",
    about: "random and changed components, run from end to end",
    runs: 50,
    start: || Box::new(Modules::new(GuestForm::Component, guests::components())),
};
