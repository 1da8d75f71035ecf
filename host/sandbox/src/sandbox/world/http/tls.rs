//! TLS by the host: to the certificates that the system trusts, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. A guest
//! can neither add one nor do without.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::Error;

/// Read once per process, when a guest first asks for it.
static CONFIG: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();

/// Makes sure that the peer has a certificate for this host.
pub(super) async fn secure(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Error> {
    let server = server_name(host).ok_or(Error::HttpRequestUriInvalid)?;
    let config = CONFIG
        .get_or_try_init(|| async {
            // It reads some hundred files.
            let read = tokio::task::spawn_blocking(config).await;
            read.map_err(|_| internal())?.map_err(|_| internal())
        })
        .await?;
    let connector = TlsConnector::from(Arc::clone(config));
    connector
        .connect(server, stream)
        .await
        .map_err(|error| told(&error))
}

fn internal() -> Error {
    Error::InternalError(Some("TLS cannot be set up".to_owned()))
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::from(address)),
        Err(_) => ServerName::try_from(host.to_owned()).ok(),
    }
}

/// The certificates that are trusted, if this process cannot ask the system.
static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();

/// The certificates that the system trusts, for a process that cannot ask it.
#[doc(hidden)]
#[must_use]
pub fn system_roots() -> Vec<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|root| root.as_ref().to_vec()).collect()
}

/// Sets the certificates that this process trusts, once.
#[doc(hidden)]
pub fn trust_roots(roots: Vec<Vec<u8>>) {
    let roots = roots.into_iter().map(CertificateDer::from).collect();
    let _ = ROOTS.set(roots);
}

fn config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read or understood is not trusted.
    roots.add_parsable_certificates(match ROOTS.get() {
        Some(given) => given.clone(),
        None => rustls_native_certs::load_native_certs().certs,
    });
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // What one job's connection has left behind would be there for another's.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// What a guest is told of an error.
fn told(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => alert_received(*alert),
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}

fn alert_received(alert: AlertDescription) -> Error {
    Error::TlsAlertReceived {
        alert_id: Some(alert.into()),
        alert_message: alert.as_str().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_a_name_or_an_address() {
        let name = |host| server_name(host).map(|name| name.to_str().into_owned());
        assert_eq!(name("db.example").as_deref(), Some("db.example"));
        assert_eq!(name("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(name("[::1]").as_deref(), Some("::1"));
        assert_eq!(name("a b"), None);
    }
}
