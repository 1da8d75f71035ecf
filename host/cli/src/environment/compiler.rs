//! The program as the helper of its own cluster: it compiles one module within bounds, in a process of
//! its own. Not for people to call, and so no command that clap knows.

use rwasm_cluster::{Compiler, compile_worker};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compiles a module, if that is what the program was started for.
pub(crate) fn serve() -> Option<ExitCode> {
    compile_worker(std::env::args_os().skip(1))
}

/// The compiler that this program is.
pub(crate) fn compiler() -> Compiler {
    // What this process runs, though its file may have been replaced since.
    let own = Path::new("/proc/self/exe");
    Compiler::Helper(if cfg!(target_os = "linux") && own.exists() {
        own.to_owned()
    } else {
        std::env::current_exe().unwrap_or_else(|_| PathBuf::from("rwasm-cluster"))
    })
}
