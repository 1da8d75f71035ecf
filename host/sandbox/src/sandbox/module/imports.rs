//! What the host provides to its guests, by name: WASI preview 1, 0.2 and 0.3, its own interface, and
//! nothing else. Functions that an embedder adds are in `host::functions`.

use super::javascript;
use crate::sandbox::abi::Waits;

/// The functions of preview 1 that always return at once: without granted files, `fd_write` can
/// only reach the host's own streams.
const PROMPT: [&str; 16] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_seek",
    "fd_write",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
];

/// The functions of preview 1 that may wait.
const WAITING: [&str; 29] = [
    "fd_advise",
    "fd_allocate",
    "fd_datasync",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_sync",
    "fd_tell",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "sock_accept",
    "sock_recv",
    "sock_send",
];

/// Whether the import is a function of WASI preview 1, and if so, whether it may wait.
pub(in crate::sandbox) fn preview1(module: &str, name: &str) -> Option<Waits> {
    if module != "wasi_snapshot_preview1" {
        None
    } else if PROMPT.contains(&name) {
        Some(Waits::Never)
    } else if WAITING.contains(&name) || name == "sock_shutdown" {
        Some(Waits::Maybe)
    } else {
        None
    }
}

/// The interfaces of WASI preview 2 that the host provides, as wasmtime-wasi and wasmtime-wasi-http define them.
const INTERFACES: [&str; 29] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "http/outgoing-handler",
    "http/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// The version in which wasmtime defines all of them.
pub(in crate::sandbox) const PREVIEW2: &str = "0.2.12";

/// Returns the interface of WASI preview 2 with that name, without its version, if this host
/// provides it. All its versions are compatible with each other.
pub(in crate::sandbox) fn preview2(name: &str) -> Option<&str> {
    of_wasi(name, &INTERFACES, "0.2.")
}

/// Returns the interface of WASI with that name if it is one of these, in a version that begins so.
fn of_wasi<'a>(name: &'a str, interfaces: &[&str], versions: &str) -> Option<&'a str> {
    let (interface, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    // A release candidate has types of its own.
    let is_release = !version.contains('-');
    (interfaces.contains(&interface) && version.starts_with(versions) && is_release)
        .then_some(interface)
}

/// The interfaces of WASI 0.3 that the host provides, as wasmtime-wasi and wasmtime-wasi-http define them.
const INTERFACES_OF_PREVIEW3: [&str; 23] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "cli/types",
    "clocks/monotonic-clock",
    "clocks/system-clock",
    "clocks/types",
    "filesystem/preopens",
    "filesystem/types",
    "http/client",
    "http/types",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/ip-name-lookup",
    "sockets/types",
];

/// The version in which wasmtime defines all of them.
pub(in crate::sandbox) const PREVIEW3: &str = "0.3.0";

/// Returns the interface of WASI 0.3 with that name, without its version, if this host provides it.
pub(in crate::sandbox) fn preview3(name: &str) -> Option<&str> {
    of_wasi(name, &INTERFACES_OF_PREVIEW3, "0.3.")
}

/// Whether the host provides this interface, of WASI or its own.
pub(in crate::sandbox) fn is_provided(name: &str) -> bool {
    preview2(name).is_some() || preview3(name).is_some() || is_host(name)
}

/// Whether the interface is `wasi:logging/logging`, in any draft or, as some tools import it, without a version. It is
/// provided where its types are those of all drafts.
pub(in crate::sandbox) fn is_logging(name: &str) -> bool {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    name == "wasi:logging/logging"
}

/// Whether the host provides this import of a core module; a function has a type.
pub(super) fn is_offered(module: &str, name: &str, ty: Option<&str>) -> bool {
    preview1(module, name).is_some()
        || host_functions(module).is_some_and(|functions| functions.contains(&name))
        || ty.is_some_and(|ty| javascript::provided(module, name, ty).is_some())
}

/// Returns which unsupported platform a module was built for, and what to build it for instead. Its
/// programs start and end with such an import, so that none could run.
pub(super) fn of_another_platform(module: &str, name: &str) -> Option<&'static str> {
    match (module, name) {
        ("wasi_unstable" | "wasi_snapshot_preview0", _) => Some(
            "it targets the WASI of 2019 (snapshot 0); rebuild it with a toolchain of 2020 or later \
            for wasm32-wasip1, which older toolchains call wasm32-wasi",
        ),
        ("wasi", "thread-spawn") => Some(
            "it needs threads (wasi-threads), but a task has a single thread; build it for wasm32-wasip1, without -pthread",
        ),
        ("gojs" | "go", name)
            if name.starts_with("runtime.") || name.starts_with("syscall/js.") =>
        {
            Some("it needs a JavaScript host (GOOS=js); build it with GOOS=wasip1")
        }
        _ => None,
    }
}

/// Whether an interface is of WASI 0.3, which has async functions.
pub(in crate::sandbox) fn is_preview3(name: &str) -> bool {
    name.strip_prefix("wasi:")
        .and_then(|name| name.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with("0.3."))
}

/// Whether a module that exports this interface is an HTTP server.
pub(super) fn is_server(name: &str) -> bool {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    matches!(name, "wasi:http/incoming-handler" | "wasi:http/handler")
}

/// Whether the import belongs to a WIT interface and so needs the component model. The host's own
/// interface does not.
pub(in crate::sandbox) fn is_wit(module: &str) -> bool {
    (module.contains(':') || module == "$root") && !is_host(module)
}

/// The host's own interface for guests, without its version.
pub(in crate::sandbox) const HOST: &str = "rwasm:task/host";

/// The versions of the host's own interface, oldest first: the first version of each minor version,
/// and how many of [`FUNCTIONS`] it has. See `wit/README.md`.
pub(in crate::sandbox) const HOST_VERSIONS: [(&str, usize); 2] = [("0.1.0", 6), ("0.2.0", 7)];

/// The functions of the host's own interface, in the order in which they were added.
const FUNCTIONS: [&str; 7] = [
    "engine-count",
    "engine-id",
    "log",
    "progress",
    "publish",
    "pushed",
    "panicked",
];

/// Whether the name is the host's own interface in a compatible version.
pub(in crate::sandbox) fn is_host(name: &str) -> bool {
    host_functions(name).is_some()
}

/// Returns the name that the linkers use for the interface `name`, of WASI or of the host itself;
/// it may have another, compatible version.
pub(in crate::sandbox) fn defined_as(name: &str) -> Option<String> {
    if let Some(interface) = preview2(name) {
        return Some(format!("wasi:{interface}@{PREVIEW2}"));
    }
    if let Some(interface) = preview3(name) {
        return Some(format!("wasi:{interface}@{PREVIEW3}"));
    }
    host_version(name).map(|(version, _)| format!("{HOST}@{version}"))
}

/// Returns the functions of the host's own interface in the version of this name, if the host is
/// compatible with it.
pub(in crate::sandbox) fn host_functions(name: &str) -> Option<&'static [&'static str]> {
    host_version(name).map(|(_, count)| &FUNCTIONS[..count])
}

fn host_version(name: &str) -> Option<(&'static str, usize)> {
    let version = name.strip_prefix(HOST)?.strip_prefix('@')?;
    let (minor, patch) = version.rsplit_once('.')?;
    if patch.is_empty() || !patch.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let versions = HOST_VERSIONS.iter();
    let mut known = versions.filter(|(known, _)| known.strip_suffix(".0") == Some(minor));
    known.next().copied()
}

/// Describes an import that is not provided: for the host's own interface, which versions exist, or
/// which functions that version has.
pub(in crate::sandbox) fn advice(module: &str) -> String {
    if let Some(functions) = host_functions(module) {
        return format!(" (that interface has {})", functions.join(", "));
    }
    match module.strip_prefix(HOST) {
        Some(version) if version.is_empty() || version.starts_with('@') => {
            let versions = HOST_VERSIONS.map(|(version, _)| version);
            format!(
                " (it has the versions {} of that interface)",
                versions.join(" and ")
            )
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wasmtime_defines_is_what_is_offered() {
        assert!(INTERFACES.is_sorted() && INTERFACES_OF_PREVIEW3.is_sorted());
        assert_eq!(preview3("wasi:cli/run@0.3.0"), None);
        assert_eq!(preview3("wasi:cli/types@0.3.1"), Some("cli/types"));
        assert!(is_provided("wasi:cli/types@0.3.0") && !is_provided("wasi:cli/types@0.2.0"));
        for (name, interface) in [
            ("wasi:cli/environment@0.2.0", Some("cli/environment")),
            ("wasi:sockets/tcp@0.2.12", Some("sockets/tcp")),
            ("wasi:clocks/timezone@0.2.12", None),
            ("wasi:cli/environment@0.3.0", None),
            ("wasi:cli/environment", None),
            ("wasi:http/types@0.2.12", Some("http/types")),
            ("wasi:http/incoming-handler@0.2.12", None),
        ] {
            assert_eq!(preview2(name), interface, "{name}");
        }
    }

    #[test]
    fn the_hosts_own_interface_is_known_in_its_versions() {
        let count = |name| host_functions(name).map(<[_]>::len);
        assert_eq!(count("rwasm:task/host@0.1.0"), Some(6));
        assert_eq!(count("rwasm:task/host@0.1.12"), Some(6));
        assert_eq!(count("rwasm:task/host@0.2.0"), Some(7));
        for name in [
            "rwasm:task/host",
            "rwasm:task/host@0.1",
            "rwasm:task/host@0.1.x",
            "rwasm:task/host@0.3.0",
            "rwasm:task/host@1.2.0",
            "rwasm:task/hosts@0.1.0",
            "rwasm:task/task@0.1.0",
        ] {
            assert_eq!(count(name), None, "{name}");
        }
        assert_eq!(
            advice("rwasm:task/host@0.3.0"),
            " (it has the versions 0.1.0 and 0.2.0 of that interface)"
        );
        assert_eq!(advice("rwasm:task/hosts@0.1.0"), "");
        assert!(!is_offered("rwasm:task/host@0.1.0", "panicked", None));
        assert!(is_offered("rwasm:task/host@0.2.3", "panicked", None));
        assert_eq!(
            advice("rwasm:task/host@0.1.0"),
            " (that interface has engine-count, engine-id, log, progress, publish, pushed)"
        );
        let defined = |name| defined_as(name).unwrap_or_default();
        assert_eq!(defined("rwasm:task/host@0.1.7"), "rwasm:task/host@0.1.0");
        assert_eq!(defined("wasi:io/error@0.2.1"), "wasi:io/error@0.2.12");
        assert_eq!(defined("a:b/c@0.1.0"), "");
    }
}
