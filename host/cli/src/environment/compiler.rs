//! The program as the helper of its own cluster: it compiles one module within bounds, in a process of
//! its own. Not for people to call, and so no command that clap knows.

use crate::exit::CliError;
use rwasm_cluster::{
    Boundary, ByteSize, ClusterBuilder, CodeCache, Compiler, ParseBoundaryError,
    ParseByteSizeError, compile_worker,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compiles a module, if that is what the program was started for.
pub(crate) fn serve() -> Option<ExitCode> {
    compile_worker(std::env::args_os().skip(1))
}

/// The compiler that this program is.
pub(crate) fn compiler() -> Compiler {
    Compiler::Helper(own())
}

/// The program itself, which is its own compiler and its own worker.
pub(crate) fn own() -> PathBuf {
    // What this process runs, though its file may have been replaced since.
    let own = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && own.exists() {
        own.to_owned()
    } else {
        std::env::current_exe().unwrap_or_else(|_| PathBuf::from("rwasm-cluster"))
    }
}

/// With this program as its compiler, and the cache of compiled code if there is one.
pub(crate) fn compiled(builder: ClusterBuilder) -> Result<ClusterBuilder, CliError> {
    let builder = builder.compiler(compiler());
    Ok(match cache_dir() {
        Some(dir) => builder.cache_dir(dir).cache_size(cache_size()?),
        None => builder,
    })
}

/// With the boundary that `RWASM_BOUNDARY` names, for commands that have no option for it.
pub(crate) fn bounded(builder: ClusterBuilder) -> Result<ClusterBuilder, CliError> {
    const NAME: &str = "RWASM_BOUNDARY";
    let Some(boundary) = std::env::var_os(NAME).filter(|text| !text.is_empty()) else {
        return Ok(builder);
    };
    let kind = boundary.to_string_lossy().parse();
    let kind = kind.map_err(|error: ParseBoundaryError| CliError::Wrong {
        message: format!("{NAME}: {error}"),
        hint: "unset the variable to use the default".to_owned(),
    })?;
    Ok(builder.boundary(Boundary::new(kind, own())))
}

/// What compiled code may take on disk: `RWASM_CACHE_SIZE`, else what the library has.
pub(crate) fn cache_size() -> Result<ByteSize, CliError> {
    const NAME: &str = "RWASM_CACHE_SIZE";
    let Some(size) = std::env::var_os(NAME).filter(|size| !size.is_empty()) else {
        return Ok(CodeCache::SIZE);
    };
    let size = size.to_string_lossy();
    size.parse()
        .map_err(|error: ParseByteSizeError| CliError::Wrong {
            message: format!("{NAME}: {error}"),
            hint: "unset the variable to use the default".to_owned(),
        })
}

/// Checks whether the cache of compiled code can be used, if there is to be one.
///
/// # Errors
///
/// Gives the directory and why it cannot be used.
pub(crate) fn usable_cache() -> Result<(), (PathBuf, std::io::Error)> {
    let Some(dir) = cache_dir() else {
        return Ok(());
    };
    // One that can only be read is of use all the same.
    let usable = CodeCache::make(&dir, CodeCache::SIZE);
    usable.map(drop).map_err(|error| (dir, error))
}

/// Where compiled code is kept: `RWASM_CACHE_DIR`, else the user's cache directory.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    match std::env::var_os("RWASM_CACHE_DIR") {
        Some(dir) if dir.is_empty() => None,
        Some(dir) => Some(dir.into()),
        None => dirs::cache_dir().map(|dir| dir.join("rwasm-cluster").join("compiled")),
    }
}
