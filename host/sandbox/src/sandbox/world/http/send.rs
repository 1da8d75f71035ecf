//! Sends one request: to an address of a granted peer, on a connection of its own, by HTTP/1.1.

use super::super::net::{Peers, Refusals, Unreachable, destination};
use super::super::pending::Call;
use super::body::Received;
use super::errors::told;
use super::stream::{Patient, Stream};
use super::{MAX_FIELDS, tls};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::client::conn::http1::{self, Connection};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

type Io = TokioIo<Patient>;

/// Sends the request, and returns the head of its response with the body that follows, and what has to go on meanwhile.
pub(super) async fn send(
    peers: Arc<Peers>,
    refusals: Refusals,
    call: Arc<Call>,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<
    (
        Response<Received>,
        impl Future<Output = Result<(), Error>> + Send + use<>,
    ),
    Error,
> {
    let (peer, request) = addressed(request)?;
    let connected = connect(&peers, &refusals, &peer);
    let stream = within(options.connect_timeout, connected)
        .await
        .ok_or(Error::ConnectionTimeout)??;
    let (stream, begun) = Patient::new(stream);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_FIELDS)
        .max_header_size(MAX_FIELDS)
        .handshake::<Io, WasiBody>(TokioIo::new(stream))
        .await
        .map_err(told)?;
    let mut connection = Some(connection);
    let response = {
        let head = sender.send_request(request);
        within(options.first_byte_timeout, drive(&mut connection, head))
            .await
            .ok_or(Error::ConnectionReadTimeout)??
    };
    begun.lift();
    let between = options.between_bytes_timeout;
    let of_body = Arc::clone(&call);
    let response = response.map(|body| Received::new(body, between, of_body));
    Ok((response, async move {
        let _call = call;
        match connection {
            Some(connection) => connection.await.map_err(told),
            None => Ok(()),
        }
    }))
}

/// Where a request goes.
struct Peer {
    host: String,
    port: u16,
    is_secure: bool,
}

/// Takes from a request where it goes, which only a proxy would be told.
fn addressed(mut request: Request<WasiBody>) -> Result<(Peer, Request<WasiBody>), Error> {
    let uri = request.uri();
    let is_secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(Error::HttpProtocolError),
    };
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let port = if is_secure { 443 } else { 80 };
    let (host, port) = host_and_port(authority, port).ok_or(Error::HttpRequestUriInvalid)?;
    let target = uri.path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let peer = Peer {
        host,
        port,
        is_secure,
    };
    Ok((peer, request))
}

/// None for an authority with a user in it, or with a port that is not a number.
fn host_and_port(authority: &Authority, default: u16) -> Option<(String, u16)> {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host)?;
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if rest.is_empty() => default,
        None => return None,
    };
    Some((host.to_owned(), port))
}

/// Waits no longer than this, if it is given; `None` if that is over.
async fn within<T>(time: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match time {
        Some(time) => tokio::time::timeout(time, future).await.ok(),
        None => Some(future.await),
    }
}

async fn connect(
    peers: &Arc<Peers>,
    refusals: &Refusals,
    peer: &Peer,
) -> Result<Box<dyn Stream>, Error> {
    let addresses = destination(peers, refusals, &peer.host, peer.port).await;
    let addresses = addresses.map_err(|why| match why {
        Unreachable::Malformed => Error::HttpRequestUriInvalid,
        Unreachable::Denied => Error::HttpRequestDenied,
        Unreachable::NoAddress => Error::DnsError {
            rcode: None,
            info_code: None,
        },
    })?;
    let stream = connect_to_one(&addresses).await?;
    // The kernel would wait for more of a small request.
    let _ = stream.set_nodelay(true);
    if peer.is_secure {
        return Ok(Box::new(tls::secure(stream, &peer.host).await?));
    }
    Ok(Box::new(stream))
}

/// Connects to the first of the addresses that answers.
async fn connect_to_one(addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut last = Error::DestinationUnavailable;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = unconnected(&error),
        }
    }
    Err(last)
}

fn unconnected(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Error::DestinationIpUnroutable
        }
        _ => Error::DestinationUnavailable,
    }
}

/// Waits for the head of a response, while the connection does its work; what has ended of it is taken away.
async fn drive<T>(
    connection: &mut Option<Connection<Io, WasiBody>>,
    head: impl Future<Output = hyper::Result<T>>,
) -> Result<T, Error> {
    let mut head = pin!(head);
    poll_fn(|context| {
        if let Poll::Ready(head) = head.as_mut().poll(context) {
            return Poll::Ready(head.map_err(told));
        }
        let Some(going_on) = connection else {
            return Poll::Pending;
        };
        match pin!(going_on).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => {
                *connection = None;
                match ended {
                    Ok(()) => head.as_mut().poll(context).map_err(told),
                    Err(error) => Poll::Ready(Err(told(error))),
                }
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_its_host_and_port() {
        let place = |text: &str| {
            let authority = text.parse().expect(text);
            host_and_port(&authority, 80)
        };
        for (text, host, port) in [
            ("a.example", "a.example", 80),
            ("a.example:81", "a.example", 81),
            ("[::1]", "[::1]", 80),
            ("[::1]:82", "[::1]", 82),
            ("127.0.0.1:0", "127.0.0.1", 0),
        ] {
            assert_eq!(place(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in [
            "user@a.example",
            "user:80@a.example",
            "a.example:",
            "a.example:b",
            "a.example:65536",
        ] {
            assert_eq!(place(text), None, "{text}");
        }
    }
}
