//! The module's declaration of the host's interface, if it imports it: the same as `wit/host.wit`
//! in the host's repository.

use crate::encode::Function;
use crate::ty::Ty;

/// The interface, in the first version that has everything used here.
pub(crate) const INTERFACE: &str = "rwasm:task/host@0.2.0";

const LEVEL: Ty = Ty::Enum("level", &["trace", "debug", "info", "warn", "error"]);
const BYTES: Ty = Ty::List(&Ty::U8);

/// Its functions, as `wit/host.wit` of the host's repository has them.
pub(crate) const FUNCTIONS: [Function; 7] = [
    Function {
        name: "log",
        params: &["level", "message"],
        types: &[&LEVEL, &Ty::String],
        result: &Ty::Unit,
    },
    Function {
        name: "progress",
        params: &["done", "total"],
        types: &[&Ty::U64, &Ty::Option(&Ty::U64)],
        result: &Ty::Unit,
    },
    Function {
        name: "publish",
        params: &["name", "value"],
        types: &[&Ty::String, &BYTES],
        result: &Ty::Unit,
    },
    Function {
        name: "engine-id",
        params: &[],
        types: &[],
        result: &Ty::U32,
    },
    Function {
        name: "engine-count",
        params: &[],
        types: &[],
        result: &Ty::U32,
    },
    Function {
        name: "pushed",
        params: &["name"],
        types: &[&Ty::String],
        result: &Ty::Option(&BYTES),
    },
    Function {
        name: "panicked",
        params: &["message", "file", "line", "column"],
        types: &[&Ty::String, &Ty::String, &Ty::U32, &Ty::U32],
        result: &Ty::Unit,
    },
];
