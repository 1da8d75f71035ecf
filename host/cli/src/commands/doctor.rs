//! `doctor`: what this machine gives to keep tasks apart from the program.

use crate::args::{DoctorArguments, ShownAs};
use crate::environment::compiler::own;
use crate::exit::CliError;
use crate::output::stdout::print;
use crate::text::json_document;
use rwasm_cluster::plain::in_line;
use rwasm_cluster::{Boundary, BoundaryLayer, Cluster, Stands};
use serde_json::json;
use std::fmt::Write as _;

/// Starts what tasks would run in, and shows what it could give up.
pub(crate) fn doctor(arguments: &DoctorArguments) -> Result<(), CliError> {
    let layers = layers().map_err(|error| error.to_string());
    let strict = works(Boundary::Strict(own()));
    print(&match arguments.format {
        ShownAs::Text => text(&layers, &strict),
        ShownAs::Json => json_document(&json!({
            "thread": {"works": true},
            "process": {"works": layers.is_ok(), "reason": layers.as_ref().err()},
            "strict": {"works": strict.is_ok(), "reason": strict.err()},
            "layers": layers.unwrap_or_default().iter().map(|layer| json!({
                "name": layer.name,
                "stands": word(&layer.stands),
                "reason": why(&layer.stands),
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

fn word(stands: &Stands) -> &'static str {
    match stands {
        Stands::Whole => "yes",
        Stands::InPart(_) => "in part",
        Stands::Missing(_) => "no",
    }
}

fn why(stands: &Stands) -> Option<&str> {
    match stands {
        Stands::Whole => None,
        Stands::InPart(why) | Stands::Missing(why) => Some(why),
    }
}

fn text(layers: &Result<Vec<BoundaryLayer>, String>, strict: &Result<(), String>) -> String {
    let mut text = String::new();
    let mut line = |wall: &str, verdict: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "--boundary {wall:<8} {}", in_line(verdict));
    };
    line(
        "thread",
        "works: tasks are threads of the program, in the sandbox of the runtime alone",
    );
    line(
        "process",
        &match layers {
            Ok(layers) => {
                let lacking = layers.iter().filter(|layer| layer.stands != Stands::Whole);
                match lacking.count() {
                    0 => "works, with all layers".to_owned(),
                    count => format!(
                        "works, with {count} of {} layers missing or in part",
                        layers.len()
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
        let _ = writeln!(text, "\n{}: {}", layer.name, word(&layer.stands));
        let _ = writeln!(text, "  {}", layer.stops);
        if let Some(why) = why(&layer.stands) {
            let _ = writeln!(text, "  Here: {}", in_line(why));
            let _ = writeln!(text, "  {}", layer.needs);
        }
    }
    text
}
