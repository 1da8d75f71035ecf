//! The path of a directory in the guest, as guests compare it.

/// A path without what makes no difference to a guest. WASI has no root and no current directory: a
/// guest looks for the granted directory that its path begins with, and ignores a `/` or `./` before
/// both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GuestPath<'a>(Vec<&'a str>);

impl<'a> GuestPath<'a> {
    /// Returns none if no directory may have this path. A `:` would stand for an access in the text
    /// of a grant.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        if path.is_empty() || path.contains([':', '\0']) {
            return None;
        }
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.last().is_some_and(|last| *last != "..") => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        Some(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::GuestPath;

    #[test]
    fn paths_that_are_the_same_to_a_guest_are_equal() {
        for same in [
            &["/", ".", "./", "//", "/./", "a/.."] as &[&str],
            &["/d", "d", "d/", "./d", "//d/", "/d/.", "/e/../d"],
            &["..", "../", "/.."],
            &["/d/e", "d//e", "d/./e/"],
        ] {
            for path in same {
                assert_eq!(GuestPath::of(path), GuestPath::of(same[0]), "{path}");
            }
        }
        for (one, other) in [("/", "/d"), ("/d", "/D"), ("/d", "/d/e"), ("..", "/")] {
            assert_ne!(GuestPath::of(one), GuestPath::of(other), "{one} {other}");
        }
        for none in ["", "a:b", "a\0"] {
            assert_eq!(GuestPath::of(none), None, "{none}");
        }
    }
}
