//! `doctor`: which isolation of tasks this machine supports.

use crate::args::{DoctorArguments, ShownAs};
use crate::environment::compiler::own;
use crate::exit::CliError;
use crate::output::stdout::print;
use crate::text::json_document;
use rwasm_cluster::plain::in_line;
use rwasm_cluster::{Boundary, BoundaryLayer, Cluster, LayerStatus};
use serde_json::json;
use std::fmt::Write as _;

/// What no layer stops.
const PEERS: &str = "The kernel knows the ports of granted peers (`--net`), but not their addresses: these are checked by the sandbox alone. \
                     `strict` refuses peers.";

/// Starts a worker process, and shows the layers of its isolation.
pub(crate) fn doctor(arguments: &DoctorArguments) -> Result<(), CliError> {
    let layers = layers().map_err(|error| error.to_string());
    let strict = works(Boundary::Strict(own()));
    print(&match arguments.format {
        ShownAs::Text => text(&layers, &strict),
        ShownAs::Json => json_document(&json!({
            "thread": {"works": true},
            "process": {"works": layers.is_ok(), "reason": layers.as_ref().err()},
            "strict": {"works": strict.is_ok(), "reason": strict.err()},
            "peers": PEERS,
            "layers": layers.unwrap_or_default().iter().map(|layer| json!({
                "name": layer.name,
                "required": layer.is_required,
                "status": word(&layer.status),
                "reason": why(&layer.status),
                "stops": layer.stops,
                "needs": layer.needs,
            })).collect::<Vec<_>>(),
        })),
    })
}

#[cfg(target_os = "linux")]
fn layers() -> std::io::Result<Vec<BoundaryLayer>> {
    rwasm_cluster::boundary_layers(&own())
}

#[cfg(not(target_os = "linux"))]
fn layers() -> std::io::Result<Vec<BoundaryLayer>> {
    Err(std::io::Error::other("only Linux confines processes so"))
}

fn works(boundary: Boundary) -> Result<(), String> {
    let started = Cluster::builder().engines(1).boundary(boundary).start();
    started.map(drop).map_err(|error| error.to_string())
}

fn word(status: &LayerStatus) -> &'static str {
    match status {
        LayerStatus::Full => "full",
        LayerStatus::Partial(_) => "partial",
        LayerStatus::Missing(_) => "missing",
    }
}

fn why(status: &LayerStatus) -> Option<&str> {
    match status {
        LayerStatus::Full => None,
        LayerStatus::Partial(why) | LayerStatus::Missing(why) => Some(why),
    }
}

fn text(layers: &Result<Vec<BoundaryLayer>, String>, strict: &Result<(), String>) -> String {
    let mut text = String::new();
    let mut line = |boundary: &str, verdict: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "--boundary {boundary:<8} {}", in_line(verdict));
    };
    line(
        "thread",
        "works: tasks run on threads, isolated by the sandbox alone",
    );
    line(
        "process",
        &match layers {
            Ok(layers) => {
                let required: Vec<_> = layers.iter().filter(|layer| layer.is_required).collect();
                let is_lacking = |layer: &&&BoundaryLayer| layer.status != LayerStatus::Full;
                match required.iter().filter(is_lacking).count() {
                    0 => "works, with all layers".to_owned(),
                    count => format!(
                        "works, with {count} of {} layers missing or partial",
                        required.len()
                    ),
                }
            }
            Err(error) => format!("does not work: {error}"),
        },
    );
    line(
        "strict",
        &match strict {
            Ok(()) => "works".to_owned(),
            Err(error) => format!("refuses to run: {error}"),
        },
    );
    for layer in layers.iter().flatten() {
        let is_optional = if layer.is_required {
            ""
        } else {
            " (not required)"
        };
        let _ = writeln!(
            text,
            "\n{}: {}{is_optional}",
            layer.name,
            word(&layer.status)
        );
        let _ = writeln!(text, "  {}", layer.stops);
        if let Some(why) = why(&layer.status) {
            let _ = writeln!(text, "  Here: {}", in_line(why));
            let _ = writeln!(text, "  {}", layer.needs);
        }
    }
    let _ = writeln!(text, "\npeers\n  {PEERS}");
    text
}
