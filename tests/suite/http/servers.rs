//! Servers in the test's own process, at ports of the system's choice, which speak HTTP as well or badly as a test has them.
//! Their threads end with the process.

use crate::support::{file, folder};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tempfile::TempDir;

/// A connection, with TLS or without.
pub(super) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// What a client asked for.
pub(super) struct Asked {
    /// The line of the request, and the headers.
    pub(super) head: String,
    pub(super) body: String,
}

/// A server, which counts who came.
pub(super) struct Server {
    pub(super) port: u16,
    came: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// One that does this with each connection, in a thread of its own.
    pub(super) fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (came, open): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let counts = (Arc::clone(&came), Arc::clone(&open));
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let (came, open) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                let serve = Arc::clone(&serve);
                came.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    serve(stream);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, came, open }
    }

    /// One that answers so.
    pub(super) fn answering(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        Self::new(move |mut stream| exchange(&mut stream, &answer))
    }

    /// One that has read the head of a request, does this, and then waits until the client is gone.
    pub(super) fn then(act: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::new(move |mut stream| {
            read(&mut stream);
            act(&mut stream);
            drain(stream);
        })
    }

    /// The same as [`answering`](Self::answering), by TLS.
    pub(super) fn secure(
        authority: &Authority,
        answer: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::clone(&authority.config);
        Self::new(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            // Who does not trust it goes away.
            if stream.conn.complete_io(&mut stream.sock).is_ok() {
                exchange(&mut stream, &answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The option that grants it.
    pub(super) fn granted(&self) -> String {
        format!("--net 127.0.0.1:{}", self.port)
    }

    /// How many connections there were.
    pub(super) fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Waits until the client is gone, which then sends nothing more.
pub(super) fn drain(mut stream: TcpStream) {
    while matches!(stream.read(&mut [0; 1000]), Ok(length) if length > 0) {}
}

/// Reads a request, as far as its length says.
fn read(stream: &mut dyn Stream) -> Asked {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().expect("a length"));
            if body.len() >= length {
                let (head, body) = (head.to_owned(), body.to_owned());
                return Asked { head, body };
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => {
                return Asked {
                    head: text.into_owned(),
                    body: String::new(),
                };
            }
            Ok(length) => bytes.extend(&piece[..length]),
        }
    }
}

fn exchange(stream: &mut dyn Stream, answer: impl Fn(&Asked) -> String) {
    let asked = read(stream);
    // A guest that fails may be gone by now.
    let _ = stream.write_all(answer(&asked).as_bytes());
    let _ = stream.flush();
}

/// A response with this body.
pub(super) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An authority, with a certificate for these hosts by it.
pub(super) struct Authority {
    config: Arc<ServerConfig>,
    /// The authority's own certificate, for those that trust it.
    pub(super) trusted: PathBuf,
    _dir: TempDir,
}

impl Authority {
    pub(super) fn of(hosts: &[&str]) -> Self {
        let dir = folder();
        let mut own = CertificateParams::default();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own_key = KeyPair::generate().expect("a key");
        let text = own.self_signed(&own_key).expect("a certificate").pem();
        let trusted = file(&dir, "ca.pem", text);
        let issuer = Issuer::new(own, own_key);
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut server = CertificateParams::new(hosts).expect("parameters");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = server.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they fit");
        Self {
            config: Arc::new(config),
            trusted,
            _dir: dir,
        }
    }
}
