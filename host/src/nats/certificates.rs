//! A certificate authority for the servers of a cluster, and the certificates it signs.
//!
//! It signs server certificates only: servers of one cluster recognize one another by such a certificate, so a
//! certificate for anything else would let its owner act as a server. All sides of the cluster get `ca.pem`; `ca.key`
//! signs, and is needed only to renew.

use super::keys::{KeyFile, KeysError, Readers, Written, replace, write_new};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rwasm_value::small_file;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The authority's certificate.
pub(crate) const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
/// The server's certificate.
pub(crate) const SERVER: &str = "server.pem";
pub(crate) const SERVER_KEY: &str = "server.key";

const YEAR: Duration = Duration::from_hours(365 * 24);

/// Validity of the authority: when it expires, so does everything it signed.
const AUTHORITY_VALID: Duration = Duration::from_hours(20 * 365 * 24);

/// Certificates are valid from this long ago, since clocks differ.
const SKEW: Duration = Duration::from_hours(1);

/// Checks what can be checked before anything is created.
pub(crate) fn check(hosts: &[String], valid: Duration) -> Result<(), KeysError> {
    const MOST: Duration = YEAR.saturating_mul(10);
    for host in hosts {
        is_host(host).map_err(|reason| KeysError::Host {
            host: host.clone(),
            reason,
        })?;
    }
    if valid > MOST {
        return Err(KeysError::Validity {
            wanted: valid,
            most: MOST,
        });
    }
    Ok(())
}

/// Creates the authority unless it exists, and a new certificate for a server.
pub(crate) fn make(
    dir: &Path,
    hosts: &[String],
    valid: Duration,
) -> Result<Vec<KeyFile>, KeysError> {
    let mut files = Vec::new();
    let authority = Authority::open(dir, &mut files)?;
    let (certificate, key) = authority
        .sign(hosts, SystemTime::now(), valid)
        .map_err(|error| refused(dir, &error))?;
    for (name, text, readers) in [
        (SERVER_KEY, key, Readers::Owner),
        (SERVER, certificate, Readers::All),
    ] {
        let path = dir.join(name);
        let there = path.try_exists().map_err(KeysError::unreadable(&path))?;
        replace(&path, &text, readers).map_err(KeysError::unwritable(&path))?;
        let written = if there {
            Written::Renewed
        } else {
            Written::New
        };
        files.push(KeyFile::new(path, written));
    }
    Ok(files)
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the existing authority, or creates one.
    fn open(dir: &Path, files: &mut Vec<KeyFile>) -> Result<Self, KeysError> {
        let (ca, ca_key) = (dir.join(CA), dir.join(CA_KEY));
        let has_ca = ca.try_exists().map_err(KeysError::unreadable(&ca))?;
        let key = match small_file::read(&ca_key) {
            Ok(text) => {
                files.push(KeyFile::new(ca_key, Written::Kept));
                KeyPair::from_pem(&text).map_err(|error| refused(dir, &error))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if has_ca {
                    return Err(KeysError::Authority {
                        dir: dir.to_owned(),
                        reason: format!(
                            "{CA} exists but {CA_KEY} does not; renew the certificate where that key is kept"
                        ),
                    });
                }
                let key = KeyPair::generate().map_err(|error| refused(dir, &error))?;
                write_new(&ca_key, &key.serialize_pem()).map_err(KeysError::unwritable(&ca_key))?;
                files.push(KeyFile::new(ca_key, Written::New));
                key
            }
            Err(source) => return Err(KeysError::unreadable(&ca_key)(source)),
        };
        let params = authority(&key);
        if has_ca {
            files.push(KeyFile::new(ca, Written::Kept));
        } else {
            let certificate = params
                .self_signed(&key)
                .map_err(|error| refused(dir, &error))?;
            replace(&ca, &certificate.pem(), Readers::All).map_err(KeysError::unwritable(&ca))?;
            files.push(KeyFile::new(ca, Written::New));
        }
        Ok(Self {
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a certificate for a server with these names, and returns it with its key.
    fn sign(
        &self,
        hosts: &[String],
        now: SystemTime,
        valid: Duration,
    ) -> Result<(String, String), rcgen::Error> {
        let hosts: Vec<String> = hosts.iter().map(|host| bare(host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "rwasm-cluster server");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Servers of one cluster are clients of each other.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        hold(&mut params, now, valid);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// The authority with this key. Its name is derived from the key, so that two are never confused, and the same one
/// can be rebuilt.
fn authority(key: &KeyPair) -> CertificateParams {
    let hash = Sha256::digest(key.public_key_raw());
    let short = hash[..8]
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("rwasm-cluster authority {short}"),
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    hold(&mut params, SystemTime::now(), AUTHORITY_VALID);
    params
}

fn hold(params: &mut CertificateParams, now: SystemTime, valid: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A clock before 1970 is as wrong as one that stands there.
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + valid;
}

fn refused(dir: &Path, error: &rcgen::Error) -> KeysError {
    KeysError::Authority {
        dir: dir.to_owned(),
        reason: error.to_string(),
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

fn is_host(host: &str) -> Result<(), &'static str> {
    let host = bare(host);
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if host.contains("://") || host.contains('/') {
        return Err("write only the host name, not a URL");
    }
    if host.contains(':') {
        return Err("leave out the port");
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > 253 || !name.split('.').all(fits) {
        return Err("each part must have at most 63 letters, digits and `-`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, name: &str) -> String {
        std::fs::read_to_string(dir.join(name)).expect("a file")
    }

    #[test]
    fn a_second_certificate_is_of_the_same_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        let hosts = ["nats.example.org".to_owned(), "[::1]".to_owned()];
        let first = make(dir, &hosts, YEAR).expect("certificates");
        assert!(first.iter().all(|file| file.written == Written::New));
        let (ca, ca_key, server) = (read(dir, CA), read(dir, CA_KEY), read(dir, SERVER));
        let second = make(dir, &hosts, YEAR).expect("certificates");
        let written: Vec<Written> = second.iter().map(|file| file.written).collect();
        assert_eq!(
            written,
            [
                Written::Kept,
                Written::Kept,
                Written::Renewed,
                Written::Renewed
            ]
        );
        assert_eq!((read(dir, CA), read(dir, CA_KEY)), (ca, ca_key));
        assert_ne!(read(dir, SERVER), server);
    }

    #[test]
    fn keys_of_certificates_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        make(dir, &["a".to_owned()], YEAR).expect("certificates");
        make(dir, &["a".to_owned()], YEAR).expect("certificates");
        for (name, wanted) in [
            (CA, 0o644),
            (CA_KEY, 0o600),
            (SERVER, 0o644),
            (SERVER_KEY, 0o600),
        ] {
            let mode = std::fs::metadata(dir.join(name)).expect("metadata");
            assert_eq!(mode.permissions().mode() & 0o777, wanted, "{name}");
        }
    }

    #[test]
    fn without_the_key_of_its_authority_nothing_is_renewed() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        make(dir, &["a".to_owned()], YEAR).expect("certificates");
        let server = read(dir, SERVER);
        std::fs::remove_file(dir.join(CA_KEY)).expect("removed");
        let error = make(dir, &["a".to_owned()], YEAR).expect_err("refused");
        assert!(error.to_string().contains("ca.key does not"), "{error}");
        std::fs::write(dir.join(CA_KEY), "no key").expect("written");
        assert!(matches!(
            make(dir, &["a".to_owned()], YEAR),
            Err(KeysError::Authority { .. })
        ));
        assert_eq!(read(dir, SERVER), server);
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for host in [
            "localhost",
            "a.example.org",
            "*.example.org",
            "10.0.0.1",
            "[::1]",
            "::1",
            "n_1",
        ] {
            assert!(is_host(host).is_ok(), "{host}");
        }
        for host in [
            "", "a b", "tls://a", "a:4222", "a..b", "-a", "a/b", "é", "*", "a.*",
        ] {
            assert!(is_host(host).is_err(), "{host}");
        }
        assert!(check(&[], YEAR * 11).is_err());
    }
}
