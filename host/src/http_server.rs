//! Serves a few small pages by HTTP: so many connections at a time, each for so long.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// The most bytes of a request that are read ahead, of each connection.
const READ_AHEAD: usize = 64 << 10;

/// The pause after a connection that could not be accepted, such as for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// What connections may take.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Those that are served at a time; more wait.
    pub(crate) connections: usize,
    /// How long each may last.
    pub(crate) longest: Duration,
    /// Whether one may ask again.
    pub(crate) keep_alive: bool,
}

/// Answers until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    bounds: Bounds,
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    let room = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let response = answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut builder = http1::Builder::new();
            let connection = builder
                .keep_alive(bounds.keep_alive)
                .max_buf_size(READ_AHEAD)
                .serve_connection(TokioIo::new(stream), answer);
            // Whoever asked may have gone.
            let _ = timeout(bounds.longest, connection).await;
            drop(permit);
        });
    }
}
