//! How grants are parsed, and which are refused.

use super::*;

#[test]
fn directories_are_read_as_they_are_written() {
    for (text, host, guest, access) in [
        ("data::/data", "data", "/data", Access::ReadWrite),
        ("/a:b::/c:ro", "/a:b", "/c", Access::ReadOnly),
        ("/a:b::/a-b", "/a:b", "/a-b", Access::ReadWrite),
        ("./x::y:rw", "./x", "y", Access::ReadWrite),
        ("/tmp", "/tmp", "/tmp", Access::ReadWrite),
        ("/tmp:ro", "/tmp", "/tmp", Access::ReadOnly),
    ] {
        let grant: DirGrant = text.parse().expect(text);
        assert_eq!(
            (grant.host.as_path(), &*grant.guest),
            (Path::new(host), guest)
        );
        assert_eq!(grant.access, access, "{text}");
        assert_eq!(grant.to_string().parse(), Ok(grant), "{text}");
    }
    for (text, reason) in [
        ("", "write HOST::GUEST, like ./data::/data"),
        ("::", "write HOST::GUEST"),
        ("a::", "write HOST::GUEST"),
        ("::b", "write HOST::GUEST"),
        ("a::b::c", "write HOST::GUEST"),
        (":ro", "write HOST::GUEST"),
        ("a::b\0", "write HOST::GUEST"),
        ("a::/b:RO", "its end `:RO` is not known"),
        ("a::/b:r", "its end `:r` is not known"),
        ("a::/b:readonly", "its end `:readonly` is not known"),
        ("a::/b:ro:ro", "its end `:ro:ro` is not known"),
        ("a:b::/c:wo", "its end `:wo` is not known"),
        ("a:/b", "two colons, like a::/b"),
        ("a:b", "two colons, like a::b"),
        ("/a:/b:ro", "two colons, like /a::/b:ro"),
    ] {
        let error = text.parse::<DirGrant>().expect_err(text).to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn peers_are_read_as_they_are_written() {
    for text in [
        "example.org:443",
        "localhost:*",
        "127.0.0.1:80",
        "[::1]:65535",
        "a_b-c.d:1",
    ] {
        let grant: NetGrant = text.parse().expect(text);
        assert_eq!(grant.to_string(), text);
    }
    let grant: NetGrant = "Example.ORG.:443".parse().expect("a name");
    assert_eq!(grant.to_string(), "example.org:443");
    for text in [
        "",
        ":",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a:-1",
        "::1:80",
        "[::1]",
        "[a]:1",
        "a..b:1",
        "300.1.1.1:1",
        "a b:1",
        "*:1",
        "a:1:2",
    ] {
        assert!(text.parse::<NetGrant>().is_err(), "{text:?}");
    }
}

#[test]
fn what_cannot_be_granted_is_refused() {
    let check = |grants: Grants, deterministic| {
        let opened = grants.open()?;
        grants.check(&opened, deterministic)
    };
    let missing = Grants::none().dir("no/such/place", "/x", Access::ReadOnly);
    assert!(matches!(
        check(missing, false),
        Err(GrantError::Directory { .. })
    ));
    let twice = Grants::none()
        .dir(".", "/x", Access::ReadOnly)
        .dir(".", "/x", Access::ReadWrite);
    assert!(matches!(
        check(twice, false),
        Err(GrantError::SameName { .. })
    ));
    for (first, second) in [("/", "."), ("/d", "d"), ("/d", "/d/"), ("./d", "/e/../d")] {
        for (one, other) in [(first, second), (second, first)] {
            let grants =
                Grants::none()
                    .dir(".", one, Access::ReadOnly)
                    .dir("src", other, Access::ReadOnly);
            let refused = check(grants, false);
            let same = matches!(refused, Err(GrantError::SameName { .. }));
            assert!(same, "{one} and {other}: {refused:?}");
        }
    }
    for odd in ["", "/c:ro", "a\0"] {
        assert!(matches!(
            check(Grants::none().dir(".", odd, Access::ReadOnly), false),
            Err(GrantError::GuestPath { .. })
        ));
    }
    let within = |inner, outer| {
        let grants = Grants::none()
            .dir("src", "/inner", inner)
            .dir(".", "/outer", outer);
        check(grants, false)
    };
    assert!(matches!(
        within(Access::ReadOnly, Access::ReadWrite),
        Err(GrantError::ReadOnlyWithin { .. })
    ));
    assert!(within(Access::ReadWrite, Access::ReadOnly).is_ok());
    for name in ["", "a=b", "a\0"] {
        let odd = Grants::none().env(name, "x");
        assert!(matches!(
            check(odd, false),
            Err(GrantError::Variable { .. })
        ));
    }
    let peer = Grants::none().net("localhost:1".parse().expect("a peer"));
    assert!(check(peer.clone(), false).is_ok());
    assert!(check(peer, true).is_err());
}

#[test]
fn a_description_has_no_values_of_variables() {
    let grants = Grants::none()
        .env("TOKEN", "secret")
        .dir("a", "/b", Access::ReadOnly);
    let lines = grants.described();
    assert_eq!(lines, ["--dir a::/b:ro", "--env TOKEN"]);
}
