//! The way from a request to an answer.

use super::assets::{LIVE, PAGE, STYLE, VIEW};
use crate::http_server::{self, Bounds};
use crate::observe::{Board, METRICS_TYPE, Metrics};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName,
    HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections served at a time; more wait.
const MOST: usize = 32;

/// The time limit of one connection: the page asks on one as long as that is, and then on another.
const LONGEST: Duration = Duration::from_mins(1);

/// What the page may load and do: files of this program, and questions to it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is served, and to whom.
pub(super) struct Site {
    /// The names by which a browser of this machine calls it, with the port.
    hosts: Vec<String>,
    token: String,
    board: Board,
    metrics: Metrics,
}

impl Site {
    pub(super) fn new(address: SocketAddr, token: String, board: Board, metrics: Metrics) -> Self {
        let port = address.port();
        let names = ["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}"));
        let mut hosts = names.to_vec();
        hosts.push(address.to_string());
        Self {
            hosts,
            token,
            board,
            metrics,
        }
    }
}

/// Answers until it is dropped.
pub(super) async fn serve(listener: std::net::TcpListener, site: Site) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let bounds = Bounds {
        connections: MOST,
        longest: LONGEST,
        keep_alive: true,
    };
    http_server::serve(listener, bounds, move |request| site.answer(request)).await;
}

impl Site {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, kind, text) = self.found(request);
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = status;
        let headers: [(HeaderName, &'static str); 7] = [
            (CONTENT_TYPE, kind),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-store"),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
        ];
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn found(&self, request: &Request<Incoming>) -> (StatusCode, &'static str, Bytes) {
        const TEXT: &str = "text/plain; charset=utf-8";
        const SCRIPT: &str = "text/javascript; charset=utf-8";
        let refused =
            |status, text: &'static str| (status, TEXT, Bytes::from_static(text.as_bytes()));
        let given =
            |kind, text: &'static str| (StatusCode::OK, kind, Bytes::from_static(text.as_bytes()));
        if !self.is_called_by_its_name(request) {
            return refused(StatusCode::MISDIRECTED_REQUEST, "this is another host\n");
        }
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            return refused(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match request.uri().path() {
            // They are the same for everybody.
            "/style.css" => return given("text/css; charset=utf-8", STYLE),
            "/view.js" => return given(SCRIPT, VIEW),
            "/live.js" => return given(SCRIPT, LIVE),
            _ => {}
        }
        if !self.has_token(request) {
            return refused(
                StatusCode::UNAUTHORIZED,
                "no valid token: use the address that the program printed\n",
            );
        }
        match request.uri().path() {
            "/" => given("text/html; charset=utf-8", PAGE),
            "/api/state" => {
                let seen = |name| query(request, name).and_then(|value| value.parse().ok());
                let seen = (
                    seen("generation").unwrap_or(u64::MAX),
                    seen("change").unwrap_or(0),
                );
                let state = self.board.since(seen).to_string();
                (StatusCode::OK, "application/json", state.into())
            }
            "/metrics" => (StatusCode::OK, METRICS_TYPE, self.metrics.text().into()),
            _ => refused(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    /// Whether the request is meant for this program, and comes from its own page if from any: a name that leads here may be
    /// anybody's.
    fn is_called_by_its_name(&self, request: &Request<Incoming>) -> bool {
        let is_host = |text: &str| {
            self.hosts
                .iter()
                .any(|host| host.eq_ignore_ascii_case(text))
        };
        let headers = request.headers();
        let text = |name| {
            headers
                .get(name)
                .map(|value: &HeaderValue| value.to_str().unwrap_or(""))
        };
        let is_ours = text(HOST).is_some_and(is_host);
        let is_from_us =
            text(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://").is_some_and(is_host));
        is_ours && is_from_us && headers.get_all(HOST).iter().count() == 1
    }

    fn has_token(&self, request: &Request<Incoming>) -> bool {
        let header = request.headers().get(AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let given = header.or_else(|| query(request, "token"));
        given.is_some_and(|given| is_same(given.as_bytes(), self.token.as_bytes()))
    }
}

/// A part of the query, as it stands there.
fn query<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let mut parts = request.uri().query()?.split('&');
    parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// Whether two texts are the same, found out in a time that does not say where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = |all, (one, other): (&u8, &u8)| all | (one ^ other);
    one.len() == other.len() && one.iter().zip(other).fold(0, differing) == 0
}
