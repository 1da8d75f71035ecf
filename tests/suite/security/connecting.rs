//! Servers, certificates and keys that do not fit each other.

use super::member::Member;
use super::{AT_ONCE, NAMED, Site, config, keys, refused, tool};
use crate::support::Server;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustix::fs::{CWD, Mode, mkfifoat};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

#[test]
fn the_right_key_and_authority_set_a_cluster_up() {
    let site = Site::encrypted();
    for host in ["localhost", "127.0.0.1"] {
        let made = site
            .init_at(&site.url(host), "admin")
            .typed("--max-bytes 100MiB --lane gpu")
            .output();
        assert!(made.contains("stream RWC_TASKS"), "{made}");
        assert!(made.contains("consumer gpu-hi of RWC_TASKS"), "{made}");
    }
}

#[test]
fn a_key_that_the_server_does_not_know_is_refused() {
    let site = Site::encrypted();
    let other = keys(&[]);
    std::fs::copy(other.path().join("keys/admin.key"), site.file("admin.key")).expect("copied");
    refused(
        site.init("admin"),
        13,
        &["rejects the admin key: its configuration does not allow it"],
    );
    let nobody = tool("init")
        .arg(site.url("127.0.0.1"))
        .arg("--ca")
        .arg(site.file("ca.pem"));
    refused(nobody, 13, &["rejects a connection without a key"]);
}

#[test]
fn another_authority_is_not_believed() {
    let site = Site::encrypted();
    let other = keys(&["--host", "127.0.0.1"]);
    std::fs::copy(other.path().join("keys/ca.pem"), site.file("ca.pem")).expect("copied");
    refused(
        site.init("admin"),
        13,
        &["the server's certificate is not signed by the given authority (--ca)"],
    );
    let nobody = tool("init")
        .arg(site.url("127.0.0.1"))
        .arg("--key")
        .arg(site.file("admin.key"));
    refused(
        nobody,
        13,
        &["signed by an authority that this system does not trust: name it with --ca"],
    );
}

#[test]
fn a_certificate_for_another_host_is_not_believed() {
    let site = Site::of(keys(&["--host", "nats.example.org"]), &[]);
    refused(
        site.init("admin"),
        13,
        &["the server's certificate is not for 127.0.0.1, only for nats.example.org"],
    );
}

#[test]
fn a_certificate_that_has_expired_or_does_not_hold_yet_is_not_believed() {
    const DAY: Duration = Duration::from_hours(24);
    for (from, to, part) in [
        (-20, -10, "the server's certificate expired on "),
        (10, 20, "one of the clocks may be wrong"),
    ] {
        let dir = keys(&["--host", "127.0.0.1"]);
        certificates(&dir.path().join("keys"), DAY, from, to);
        let site = Site::of(dir, &[]);
        refused(site.init("admin"), 13, &[part]);
    }
    // One that holds is, made in the same way.
    let dir = keys(&["--host", "127.0.0.1"]);
    certificates(&dir.path().join("keys"), DAY, -10, 10);
    Site::of(dir, &[]).set_up();
}

/// Puts certificates of another authority in the place of those in `dir`, valid from and to this many days from now.
fn certificates(dir: &Path, day: Duration, from: i32, to: i32) {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("it is later than 1970");
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |days: i32| {
        let away = day * days.unsigned_abs();
        epoch
            + if days < 0 {
                now.saturating_sub(away)
            } else {
                now + away
            }
    };
    let mut ca = CertificateParams::default();
    ca.distinguished_name
        .push(DnType::CommonName, "test authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().expect("a key");
    let ca_text = ca.self_signed(&ca_key).expect("a certificate").pem();
    let issuer = Issuer::new(ca, ca_key);
    let mut server = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (server.not_before, server.not_after) = (at(from), at(to));
    let key = KeyPair::generate().expect("a key");
    let text = server
        .signed_by(&key, &issuer)
        .expect("a certificate")
        .pem();
    for (name, text) in [
        ("ca.pem", ca_text),
        ("server.pem", text),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(dir.join(name), text).expect("written");
    }
}

#[test]
fn a_server_that_wants_encryption_gets_it_whatever_the_url_says() {
    let site = Site::encrypted();
    let plain = site.url("127.0.0.1").replace("tls://", "nats://");
    site.init_at(&plain, "admin")
        .typed("--max-bytes 100MiB")
        .output();
    let nobody = tool("init")
        .arg(plain)
        .arg("--key")
        .arg(site.file("admin.key"));
    refused(nobody, 13, &["name it with --ca"]);
}

#[test]
fn a_server_without_a_certificate_is_not_taken_for_one_that_encrypts() {
    let site = Site::plain(&[]);
    let url = site.url("127.0.0.1").replace("nats://", "tls://");
    refused(
        site.init_at(&url, "admin"),
        13,
        &["the server does not use TLS: its configuration names no certificate"],
    );
}

#[test]
fn nothing_is_sent_in_plain_text_to_another_machine() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("it does not wait");
    let port = listener.local_addr().expect("an address").port();
    // No address of this machine alone, and yet it leads here.
    let url = format!("nats://0.0.0.0:{port}");
    refused(
        tool("init").arg(&url),
        2,
        &[
            "the connection to 0.0.0.0 would not be encrypted",
            "use tls://",
            "--allow-plain",
        ],
    );
    let knocked = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(knocked, Err(ErrorKind::WouldBlock));
    // Of several servers one is enough.
    let both = format!("tls://localhost:{port},{url}");
    refused(tool("init").arg(both), 2, &["would not be encrypted"]);
    // Neither goes a password, whatever is allowed.
    let secret = format!("nats://user:secret@0.0.0.0:{port}");
    let call = tool("init").arg(secret).arg("--allow-plain");
    refused(call, 2, &["would not be encrypted"]);
    let knocked = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(knocked, Err(ErrorKind::WouldBlock));
    // It does lead here.
    let mut call = tool("init").arg(&url).arg("--allow-plain").into_command();
    call.stderr(std::process::Stdio::null());
    let mut child = call.spawn().expect("it starts");
    crate::support::until("it connects where that is allowed", || {
        listener.accept().is_ok()
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

#[test]
fn files_that_hold_nothing_are_named() {
    let site = Site::encrypted();
    std::fs::write(site.file("ca.pem"), "nothing").expect("written");
    refused(
        site.init("admin"),
        14,
        &["cannot use `", "ca.pem`: there is no certificate in it"],
    );
    std::fs::remove_file(site.file("ca.pem")).expect("removed");
    let missing = tool("init")
        .arg(site.url("127.0.0.1"))
        .arg("--ca")
        .arg(site.file("ca.pem"));
    refused(missing, 14, &["ca.pem"]);
    std::fs::write(site.file("admin.key"), "SUNOTAKEY").expect("written");
    refused(
        site.init("admin"),
        14,
        &["admin.key` does not contain a key"],
    );
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::plain(&[]);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(site.file("admin.key"), open).expect("they are set");
    refused(
        site.init("admin"),
        14,
        &["can be read by other users: run `chmod 600` on it"],
    );
}

/// Files without an end, which would take all memory; a key may be a pipe all the same, as shells make them.
#[test]
fn no_file_of_settings_is_read_without_end() {
    let site = Site::plain(&[]);
    let url = site.url("127.0.0.1");
    let wanted = &["/dev/zero", "expected at most 1MiB, found more"];
    let init = || tool("init").arg(&url);
    refused(init().typed("--key /dev/zero"), 14, wanted);
    refused(site.init("admin").typed("--ca /dev/zero"), 14, wanted);
    let join = tool("engine").arg("join").arg(&url);
    let join = site.with_key(join.typed("--policy /dev/zero"), "engine");
    refused(join, 14, wanted);
    let run = tool("run").arg(crate::support::guest("wordcount"));
    refused(run.typed("--env-file /dev/zero"), 14, wanted);

    let pipe = site.dir.path().join("pipe");
    let mode = Mode::RUSR | Mode::WUSR;
    mkfifoat(CWD, &pipe, mode).expect("a FIFO can be made");
    let key = std::fs::read(site.file("admin.key")).expect("a key");
    std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&pipe, key).expect("it is read"));
        init()
            .arg("--key")
            .arg(&pipe)
            .typed("--max-bytes 100MiB")
            .output();
    });
}

#[test]
fn a_key_that_is_locked_out_is_cut_off_and_the_others_are_not() {
    let dir = keys(&[]);
    tool("keys")
        .typed("--role client --name bob")
        .in_dir(&dir)
        .output();
    let site = Site::of(dir, &NAMED).set_up();
    Member::of(&site, "client-bob").runs(async |bob| {
        site.lock_out("client-bob");
        bob.is_cut_off().await;
    });
    let bob = tool("init")
        .arg(site.url("127.0.0.1"))
        .arg("--key")
        .arg(site.file("client-bob.key"));
    refused(bob, 13, &["rejects the client key"]);
    site.init("admin").typed("--max-bytes 100MiB").output();
}

#[test]
fn where_nothing_listens_it_is_said_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let url = format!("nats://127.0.0.1:{port}");
    refused(
        tool("init").arg(url),
        13,
        &["no NATS server answers at nats://127.0.0.1"],
    );
    assert!(AT_ONCE < Duration::from_secs(10));
}

#[test]
fn a_server_of_several_wants_a_certificate_of_the_same_authority() {
    let (one, other) = (
        keys(&["--host", "127.0.0.1"]),
        keys(&["--host", "127.0.0.1"]),
    );
    let ports = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = ports.local_addr().expect("an address").to_string();
    drop(ports);
    let start = |dir, name: &str, listen: &str| {
        let options = [
            "--name",
            name,
            "--cluster-listen",
            listen,
            "--route",
            &address,
        ];
        Server::configured(name, &config(dir, &options))
    };
    let first = start(&one, "n1", &address);
    let friend = start(&one, "n2", "127.0.0.1:-1");
    let stranger = start(&other, "n3", "127.0.0.1:-1");
    crate::support::until("the servers of one authority know each other", || {
        let routes = friend.monitor("/routez").unwrap_or_default();
        routes["num_routes"].as_u64().unwrap_or_default() > 0
    });
    crate::support::until("the stranger was refused", || {
        stranger
            .log()
            .contains("certificate signed by unknown authority")
            || stranger.log().contains("TLS route handshake error")
    });
    let routes = stranger.monitor("/routez").expect("it answers");
    assert_eq!(routes["num_routes"], 0, "{}", first.log());
}
