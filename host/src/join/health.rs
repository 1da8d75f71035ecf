//! Serves the health of this process by HTTP: `/healthz` says that it lives, `/readyz` that it takes tasks,
//! `/metrics` what it has done, in Prometheus' text format.

use super::members::Members;
use super::worker::Worker;
use crate::http_server::{self, Bounds};
use crate::observe::{METRICS_TYPE, Metrics};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections served at a time; more wait.
const MOST: usize = 16;

/// The time limit of one connection.
const LONGEST: Duration = Duration::from_secs(10);

/// Answers until the process ends.
pub(super) async fn serve(listener: TcpListener, members: Arc<Members>, metrics: Metrics) {
    let bounds = Bounds {
        connections: MOST,
        longest: LONGEST,
        keep_alive: false,
    };
    let answer = move |request: &Request<Incoming>| answer(&members.workers(), &metrics, request);
    http_server::serve(listener, bounds, answer).await;
}

fn answer(
    workers: &[Arc<Worker>],
    metrics: &Metrics,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, text) = match request.uri().path() {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned()),
        "/readyz"
            if workers
                .iter()
                .any(|one| one.is_draining.load(Ordering::Relaxed)) =>
        {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned())
        }
        "/readyz"
            if !workers.iter().all(|one| {
                one.is_heard.load(Ordering::Relaxed) && !one.connection.is_rejected()
            }) =>
        {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the server has not heard from these engines\n".to_owned(),
            )
        }
        "/healthz" | "/readyz" => (StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => (StatusCode::OK, metrics.text_with(&figures(workers))),
        _ => (
            StatusCode::NOT_FOUND,
            "not found: try /healthz, /readyz or /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    if request.uri().path() == "/metrics" {
        let kind = HeaderValue::from_static(METRICS_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

/// The figures of the process beside those of its tasks, by name, type and help.
fn figures(workers: &[Arc<Worker>]) -> String {
    let sum = |number: fn(&Worker) -> u64| workers.iter().map(|one| number(one)).sum::<u64>();
    let engines = workers.first().map_or(0, |one| one.engine_count() as u64);
    let busy = sum(|one| one.busy().into());
    let idle = engines.saturating_sub(busy);
    let is_draining = |one: &&Arc<Worker>| one.is_draining.load(Ordering::Relaxed);
    let draining = u64::from(workers.iter().any(|one| is_draining(&one)));
    let lines = [
        ("busy_engines", "gauge", "Engines that run a task", busy),
        (
            "draining",
            "gauge",
            "Whether the process is leaving",
            draining,
        ),
        (
            "held_dispatches",
            "gauge",
            "Dispatches taken and not finished",
            sum(|one| one.held() as u64),
        ),
        (
            "tasks_failed",
            "counter",
            "Tasks that failed, refused ones included",
            sum(|one| one.failed.load(Ordering::Relaxed)),
        ),
        (
            "given_back",
            "counter",
            "Dispatches that were given back",
            sum(|one| one.given_back.load(Ordering::Relaxed)),
        ),
        (
            "results_refused",
            "counter",
            "Results that another process had already stored",
            sum(|one| one.refused.load(Ordering::Relaxed)),
        ),
    ];
    let mut text = format!(
        "# HELP rwasm_engines Engines of this process.\n# TYPE rwasm_engines gauge\n\
         rwasm_engines{{state=\"busy\"}} {busy}\nrwasm_engines{{state=\"idle\"}} {idle}\n"
    );
    for (name, kind, help, value) in lines {
        let suffix = if kind == "counter" { "_total" } else { "" };
        text.push_str(&format!(
            "# HELP rwasm_{name} {help}.\n# TYPE rwasm_{name} {kind}\nrwasm_{name}{suffix} {value}\n"
        ));
    }
    text
}
