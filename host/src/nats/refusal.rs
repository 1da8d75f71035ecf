//! Why a server rejects us, each reason in one sentence: what is wrong with a connection, a certificate or a
//! permission.
//!
//! The texts of the client library and of TLS are turned into ours here, and nowhere else.

use super::connect::{LEAST_PAYLOAD, OLDEST};
use super::permissions;
use super::role::Role;
use async_nats::rustls::{self, AlertDescription, CertificateError};
use async_nats::{ConnectErrorKind, ServerError};
use rwasm_value::plain;
use rwasm_value::units::ByteSize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Why a cluster cannot be reached or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is not the URL of a NATS server.
    #[error(
        "`{found}` is not a valid cluster URL: {reason}; write nats://HOST:PORT or tls://HOST:PORT, and separate several with commas"
    )]
    Url {
        /// The given text.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection would cross the network unencrypted.
    #[error(
        "the connection to {host} would not be encrypted, so anyone on the network could read tasks, results and granted values: use tls:// (see `rwasm-cluster keys --host`), or --allow-plain if the whole network is private"
    )]
    Plain {
        /// The host.
        host: String,
    },
    /// Nothing answers there.
    #[error("no NATS server answers at {url}: {reason}")]
    Unreachable {
        /// The server's URL.
        url: String,
        /// The system's error.
        reason: String,
    },
    /// The server rejects the key.
    #[error("the server at {url} rejects {who}: its configuration does not allow it")]
    Refused {
        /// The server's URL.
        url: String,
        /// The key, or that there is none.
        who: String,
    },
    /// The server's certificate cannot be trusted, or the server rejects the client certificate.
    #[error("cannot encrypt the connection to {url}: {reason}")]
    Tls {
        /// The server's URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The server is too old.
    #[error(
        "the NATS server at {url} is version {found}, but {}.{} or later is required", OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// The server's URL.
        url: String,
        /// Its version.
        found: String,
    },
    /// `JetStream` is disabled on the server.
    #[error(
        "JetStream is disabled on the NATS server at {url}: start it with `-js`, or with `jetstream {{}}` in its configuration, and enable it for this account"
    )]
    JetStreamOff {
        /// The server's URL.
        url: String,
    },
    /// The server's messages are too small.
    #[error(
        "the NATS server at {url} accepts messages of at most {found}, but {LEAST_PAYLOAD} are required: raise `max_payload` in its configuration"
    )]
    SmallMessages {
        /// The server's URL.
        url: String,
        /// Its largest message.
        found: ByteSize,
    },
    /// A file with certificates or keys cannot be used.
    #[error("cannot use `{}`: {reason}", plain::path(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The key lacks a permission.
    #[error("{url}: {what}")]
    Denied {
        /// The server's URL.
        url: String,
        /// What was denied, and which keys have the permission.
        what: String,
    },
    /// The server can be reached, but is not set up.
    #[error(transparent)]
    Assets(#[from] super::assets::AssetError),
}

/// A denial by the server, in a sentence that names the subject and the keys with the permission.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(pub(crate) Arc<str>);

impl Denied {
    /// Whether the denial names this.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// The denial in a server's event, if it is one. `who` has a key that should be of this role.
pub(crate) fn denied(error: &ServerError, who: &str, role: Role) -> Option<Denied> {
    let ServerError::Other(text) = error else {
        return None;
    };
    let lowered = text.to_ascii_lowercase();
    if !lowered.contains("permissions violation") {
        return None;
    }
    // As `Permissions Violation for Publish to "rwc.t.x"`, or `… for Subscription to "x" using queue "y"`.
    let Some(subject) = text.split('"').nth(1) else {
        return Some(Denied(
            format!("the server does not allow this to {who}: {text}").into(),
        ));
    };
    let is_heard = lowered.contains("for subscription");
    let verb = if is_heard {
        "subscribe to"
    } else {
        "publish to"
    };
    let is_of_role = role != Role::Admin && permissions::permits(role, subject, is_heard);
    if is_of_role && !subject.starts_with(&role.inbox()) {
        return Some(Denied(
            format!("the server does not allow {who} to {verb} `{subject}`, as this version of the program needs: write its configuration again with `rwasm-cluster server-config`, and have the server read it").into(),
        ));
    }
    let others: Vec<&str> = Role::ALL
        .into_iter()
        .filter(|role| permissions::permits(*role, subject, is_heard))
        .map(Role::name)
        .collect();
    let others = match &others[..] {
        [] => String::new(),
        // It may everything, and is named only where nobody else may.
        [admin] => format!(": only the {admin} key may"),
        [.., last] if others.len() == 2 => format!(": a key of role {last} may"),
        [_, rest @ ..] => format!(": keys of the roles {} may", rest.join(", ")),
    };
    Some(Denied(
        format!("the server does not allow {who} to {verb} `{subject}`{others}").into(),
    ))
}

/// Why a connection was not made.
pub(crate) fn refused(
    error: &async_nats::ConnectError,
    url: &str,
    who: &str,
    has_ca: bool,
) -> ConnectError {
    let url = url.to_owned();
    if let Some(reason) = tls_reason(error, has_ca) {
        return ConnectError::Tls { url, reason };
    }
    let reason = innermost(error);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            ConnectError::Refused {
                url,
                who: who.to_owned(),
            }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { url, reason },
        ConnectErrorKind::ServerParse => ConnectError::Url { found: url, reason },
        ConnectErrorKind::TimedOut => ConnectError::Unreachable {
            url,
            reason: "nothing there answered as a NATS server in time".to_owned(),
        },
        _ => ConnectError::Unreachable { url, reason },
    }
}

fn innermost(error: &async_nats::ConnectError) -> String {
    let mut reason = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    if reason.is_empty() {
        reason = error.to_string();
    }
    reason
}

/// What is wrong with a certificate or with TLS, if that is the reason.
fn tls_reason(error: &async_nats::ConnectError, has_ca: bool) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let tls = inner.downcast_ref::<rustls::Error>().or_else(|| {
            // An I/O error hides what it was made of from `source`.
            let inner = inner.downcast_ref::<std::io::Error>()?.get_ref()?;
            inner.downcast_ref::<rustls::Error>()
        });
        if let Some(tls) = tls {
            return Some(of_tls(tls, has_ca));
        }
        source = inner.source();
    }
    None
}

fn of_tls(error: &rustls::Error, has_ca: bool) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => of_certificate(reason, has_ca),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "the server requires a client certificate: name one with --cert and --cert-key"
                    .to_owned()
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnknownCA => {
                format!("the server rejects the client certificate ({alert:?})")
            }
            _ => format!("the server ended the handshake ({alert:?})"),
        },
        rustls::Error::InvalidMessage(_) => {
            "the server does not use TLS: its configuration names no certificate".to_owned()
        }
        _ => error.to_string(),
    }
}

fn of_certificate(reason: &CertificateError, has_ca: bool) -> String {
    let date = |seconds: u64| {
        // A certificate cannot name a later year, and the format has none.
        let seconds = seconds.min(253_402_300_799);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let text = humantime::format_rfc3339_seconds(time).to_string();
        text.replace('T', " ").replace('Z', " UTC")
    };
    match reason {
        CertificateError::UnknownIssuer if has_ca => {
            "the server's certificate is not signed by the given authority (--ca)".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by an authority that this system does not trust: name it with --ca (the `ca.pem` that `rwasm-cluster keys` created)"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "the server's certificate is not signed by the authority that it names".to_owned()
        }
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "the server's certificate expired on {}: renew it (`rwasm-cluster keys --host`)",
            date(not_after.as_secs())
        ),
        CertificateError::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the server's certificate is not valid before {}: one of the clocks may be wrong",
            date(not_before.as_secs())
        ),
        CertificateError::NotValidForName => "the server's certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "the server's certificate is not for {}, only for {}",
            expected.to_str(),
            if presented.is_empty() {
                "no name at all".to_owned()
            } else {
                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
            }
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not a server certificate".to_owned()
        }
        _ => format!("the server's certificate cannot be trusted: {reason}"),
    }
}

/// The name in a text such as `DnsName("example.org")`.
fn bare(name: &str) -> String {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<String> {
        let error = ServerError::Other(text.to_owned());
        let denied = denied(&error, "the viewer key", Role::Viewer)?;
        Some(denied.to_string())
    }

    #[test]
    fn a_denial_names_the_subject_and_who_may() {
        for (text, wanted) in [
            (
                r#"Permissions Violation for Publish to "rwc.t.main.mid.x.0""#,
                "the server does not allow the viewer key to publish to `rwc.t.main.mid.x.0`: a key of role client may",
            ),
            (
                r#"Permissions Violation for Subscription to "_INBOX_client.>""#,
                "the server does not allow the viewer key to subscribe to `_INBOX_client.>`: a key of role client may",
            ),
            (
                r#"permissions violation for publish to "$JS.API.STREAM.DELETE.RWC_TASKS""#,
                "the server does not allow the viewer key to publish to `$JS.API.STREAM.DELETE.RWC_TASKS`: only the admin key may",
            ),
            (
                r#"Permissions Violation for Publish to "$O.RWC_BLOBS.C.x""#,
                "the server does not allow the viewer key to publish to `$O.RWC_BLOBS.C.x`: keys of the roles engine, client may",
            ),
            (
                r#"Permissions Violation for Publish to "$JS.API.DIRECT.GET.KV_RWC_ENGINES""#,
                "the server does not allow the viewer key to publish to `$JS.API.DIRECT.GET.KV_RWC_ENGINES`, as this version of the program needs: write its configuration again with `rwasm-cluster server-config`, and have the server read it",
            ),
            (
                "Permissions Violation",
                "the server does not allow this to the viewer key: Permissions Violation",
            ),
        ] {
            assert_eq!(said(text).as_deref(), Some(wanted));
        }
        assert_eq!(said("Slow Consumer"), None);
    }

    #[test]
    fn names_in_certificates_are_said_plainly() {
        assert_eq!(bare("DnsName(\"a.example.org\")"), "a.example.org");
        assert_eq!(bare("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(bare("odd"), "odd");
    }
}
