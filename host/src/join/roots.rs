//! The directories that a policy allows. Each is opened once, when the policy is read, and what a job asks for is looked up
//! from there on: whoever may write there cannot make a name lead out of it, at whichever moment.

use cap_primitives::fs::open_dir;
use rwasm_sandbox::grants::{Access, identity, read_only_within};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The directories that jobs may be granted, with everything in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots(Vec<Root>);

#[derive(Clone, Debug)]
struct Root {
    /// Its name in the policy.
    path: PathBuf,
    /// Its name without links.
    real: PathBuf,
    access: Access,
    /// None if it was not there when the policy was read. It is not opened later: a guest could have made it.
    opened: Option<Arc<File>>,
}

/// A directory that a job is granted.
#[derive(Debug)]
pub(super) struct Found {
    /// Its name without links, to be shown.
    pub(super) path: PathBuf,
    /// What the policy allows there.
    pub(super) access: Access,
    /// The directory itself.
    pub(super) directory: File,
}

impl Roots {
    /// Opens the directories that a policy lists, such as `/data` and `/data:ro`.
    ///
    /// # Errors
    /// If one is not an absolute path or cannot be opened, or if a read-only one lies in another that may be written.
    pub(super) fn open(dirs: &[String]) -> Result<Self, String> {
        let mut roots = Vec::with_capacity(dirs.len());
        for dir in dirs {
            let (path, access) = match dir.strip_suffix(":ro") {
                Some(path) => (path, Access::ReadOnly),
                None => (dir.strip_suffix(":rw").unwrap_or(dir), Access::ReadWrite),
            };
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return Err(format!(
                    "`{dir}` in `dirs` is not an absolute path: write it as `/data` or `/data:ro`"
                ));
            }
            roots.push(
                Root::open(path, access)
                    .map_err(|error| format!("`{dir}` in `dirs` cannot be opened: {error}"))?,
            );
        }
        // Whoever is granted the outer one would write in the inner one.
        let overlaps: Vec<_> = roots
            .iter()
            .map(|root| (&*root.path, root.access, root.opened.as_deref()))
            .collect();
        if let Some((inner, outer)) = read_only_within(&overlaps) {
            return Err(format!(
                "`{}:ro` in `dirs` lies inside `{}`, which may be written: allow the outer one with `:ro` too, or name directories beside each other",
                inner.display(),
                outer.display()
            ));
        }
        Ok(Self(roots))
    }

    /// The directories that were not there when the policy was read, by their names in it. No job gets them.
    pub(super) fn missing(&self) -> impl Iterator<Item = &Path> {
        let missing = self.0.iter().filter(|root| root.opened.is_none());
        missing.map(|root| &*root.path)
    }

    /// Opens a directory that a job asks for, below the one that allows it.
    ///
    /// # Errors
    /// A sentence, if it is not allowed or not there.
    pub(super) fn find(&self, dir: &Path) -> Result<Found, String> {
        if dir.components().any(|part| part == Component::ParentDir) {
            return Err(not_allowed(dir));
        }
        // What this says may be wrong by now, so it only helps to choose: `open` looks the name up again from the root on,
        // and gives nothing outside of it.
        let Ok(real) = dir.canonicalize() else {
            return Err(self.why_not(dir));
        };
        let Some((root, rest)) = self.closest(|root| real.strip_prefix(&root.real).ok()) else {
            return Err(self.why_not(dir));
        };
        root.expect_in_place(dir)?;
        match root.below(rest) {
            Ok(directory) => Ok(Found {
                path: real,
                access: root.access,
                directory,
            }),
            Err(error) if leads_out(&error) => Err(root.led_out(dir)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(not_allowed(dir)),
            Err(error) => Err(format!(
                "cannot grant the directory `{}`: {error}",
                dir.display()
            )),
        }
    }

    /// The closest root that a directory is in, and where in it.
    fn closest<'a>(&self, rest: impl Fn(&Root) -> Option<&'a Path>) -> Option<(&Root, &'a Path)> {
        let below = self.0.iter().filter_map(|root| Some((root, rest(root)?)));
        below.max_by_key(|(root, _)| root.real.components().count())
    }

    /// Says why a directory is not given. About what is outside of the roots nothing is said, not even whether it is there.
    fn why_not(&self, dir: &Path) -> String {
        let Some((root, rest)) = self.closest(|root| root.rest(dir)) else {
            return not_allowed(dir);
        };
        if let Err(moved) = root.expect_in_place(dir) {
            return moved;
        }
        match root.below(rest) {
            Err(error) if leads_out(&error) => root.led_out(dir),
            _ => not_allowed(dir),
        }
    }
}

impl Root {
    fn open(path: PathBuf, access: Access) -> io::Result<Self> {
        let opened = match rwasm_sandbox::grants::open_directory(&path) {
            Ok(opened) => Some(Arc::new(opened)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        Ok(Self {
            path,
            real,
            access,
            opened,
        })
    }

    /// What a name says after the name of this one.
    fn rest<'a>(&self, dir: &'a Path) -> Option<&'a Path> {
        let rest = dir.strip_prefix(&self.path);
        rest.or_else(|_| dir.strip_prefix(&self.real)).ok()
    }

    /// Opens a directory below. Links are followed, but not out of this one.
    fn below(&self, rest: &Path) -> io::Result<File> {
        let Some(opened) = &self.opened else {
            return Err(ErrorKind::NotFound.into());
        };
        let rest = if rest.as_os_str().is_empty() {
            Path::new(".")
        } else {
            rest
        };
        open_dir(opened, rest)
    }

    /// Refuses if its name means another directory than it did when the policy was read.
    fn expect_in_place(&self, dir: &Path) -> Result<(), String> {
        let Some(opened) = &self.opened else {
            return Err(format!(
                "the directory `{}` is not allowed: `{}`, in `dirs` of the engine's policy, did not exist when the engine \
                 joined (restart the engine)",
                dir.display(),
                self.path.display()
            ));
        };
        let named = std::fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        match (named, identity(opened)) {
            (Ok(named), Ok(opened)) if named == opened => Ok(()),
            _ => Err(format!(
                "the directory `{}` is not allowed: `{}`, in `dirs` of the engine's policy, is no longer the directory that \
                 it was when the engine joined (restart the engine)",
                dir.display(),
                self.path.display()
            )),
        }
    }

    fn led_out(&self, dir: &Path) -> String {
        format!(
            "the directory `{}` leads out of `{}`, which the engine's policy allows: a link is followed only to what is in it",
            dir.display(),
            self.path.display()
        )
    }
}

fn not_allowed(dir: &Path) -> String {
    format!(
        "the directory `{}` does not exist, or the engine's policy does not allow it (add it to `dirs`)",
        dir.display()
    )
}

/// Whether a name was not followed because it leads out: the system has no error for that.
fn leads_out(error: &io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A directory with `root`, what is in it, and `outside`; and the policy that allows `root`.
    fn scene() -> (TempDir, Roots) {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["root/sub/inner", "outside"] {
            fs::create_dir_all(dir.path().join(name)).expect("a directory");
        }
        let roots = roots(&dir, &["root"]).expect("a policy");
        (dir, roots)
    }

    fn roots(dir: &TempDir, names: &[&str]) -> Result<Roots, String> {
        let list = names.iter().map(|name| at(dir, name).display().to_string());
        Roots::open(&list.collect::<Vec<_>>())
    }

    fn at(dir: &TempDir, name: &str) -> PathBuf {
        let place = dir.path().canonicalize().expect("it is there");
        place.join(name)
    }

    fn opened(dir: &TempDir, name: &str) -> (u64, u64) {
        identity(&File::open(at(dir, name)).expect("it is there")).expect("it is known")
    }

    #[test]
    fn links_are_followed_within_a_root_and_not_out_of_it() {
        let (dir, roots) = scene();
        let link = |to: &str, name: &str| symlink(to, at(&dir, name)).expect("a link");
        link("sub", "root/relative");
        link(&at(&dir, "root/sub").display().to_string(), "root/absolute");
        link("../outside", "root/up");
        link(&at(&dir, "outside").display().to_string(), "root/out");
        link("/nowhere/at/all", "root/dangling");
        link("root", "other-name");
        let inner = opened(&dir, "root/sub/inner");
        for name in [
            "root/sub/inner",
            "root/relative/inner",
            "root/absolute/inner",
            "other-name/sub/inner",
        ] {
            let found = roots.find(&at(&dir, name)).expect(name);
            assert_eq!(identity(&found.directory).expect("it is known"), inner);
            assert_eq!(found.path, at(&dir, "root/sub/inner"));
        }
        let root = at(&dir, "root");
        assert!(roots.find(&root).is_ok());
        let named = format!("leads out of `{}`", root.display());
        // Whether there is something behind a link is not said.
        for name in ["root/up", "root/out", "root/up/x", "root/dangling"] {
            let refused = roots.find(&at(&dir, name)).expect_err(name);
            assert!(refused.contains(&named), "{name}: {refused}");
        }
        for name in ["outside", "nowhere", "root/nowhere", "root/sub/../sub"] {
            let refused = roots.find(&at(&dir, name)).expect_err(name);
            assert!(refused.contains("does not exist, or"), "{name}: {refused}");
        }
    }

    /// As if a name had come to lead out between the look at it and the opening.
    #[test]
    fn a_name_that_leads_out_when_it_is_opened_is_not_followed() {
        let (dir, roots) = scene();
        let (root, _) = roots
            .closest(|_| Some(Path::new("")))
            .expect("there is one");
        assert!(root.below(Path::new("sub/inner")).is_ok());
        fs::rename(at(&dir, "root/sub"), at(&dir, "root/moved")).expect("it can be moved");
        for to in [at(&dir, "outside"), "../outside".into(), "/".into()] {
            symlink(&to, at(&dir, "root/sub")).expect("a link");
            let error = root.below(Path::new("sub")).expect_err("it leads out");
            assert!(leads_out(&error), "{error}");
            fs::remove_file(at(&dir, "root/sub")).expect("it is there");
        }
    }

    #[test]
    fn a_root_is_the_directory_that_was_there_when_the_policy_was_read() {
        let (dir, roots) = scene();
        let later = self::roots(&dir, &["later", "root"]).expect("it may be missing");
        assert_eq!(later.missing().collect::<Vec<_>>(), [at(&dir, "later")]);
        fs::create_dir(at(&dir, "later")).expect("a directory");
        let refused = later.find(&at(&dir, "later")).expect_err("it was missing");
        assert!(refused.contains("did not exist"), "{refused}");

        fs::rename(at(&dir, "root"), at(&dir, "moved")).expect("it can be moved");
        symlink("outside", at(&dir, "root")).expect("a link");
        fs::create_dir(at(&dir, "outside/sub")).expect("a directory");
        for name in ["root", "root/sub"] {
            let refused = roots.find(&at(&dir, name)).expect_err("it is another one");
            assert!(refused.contains("no longer the directory"), "{refused}");
        }
    }

    #[test]
    fn the_closest_root_says_what_is_allowed() {
        let (dir, _) = scene();
        let roots = roots(&dir, &["root:ro", "root/sub"]).expect("a policy");
        symlink("sub/inner", at(&dir, "root/short")).expect("a link");
        for (name, access) in [
            ("root", Access::ReadOnly),
            ("root/sub", Access::ReadWrite),
            ("root/sub/inner", Access::ReadWrite),
            ("root/short", Access::ReadWrite),
        ] {
            let found = roots.find(&at(&dir, name)).expect(name);
            assert_eq!(found.access, access, "{name}");
        }
        symlink("root/sub", at(&dir, "link")).expect("a link");
        for names in [["root", "root/sub:ro"], ["root", "link:ro"]] {
            let refused = self::roots(&dir, &names).expect_err("one may be written");
            assert!(refused.contains("lies inside"), "{refused}");
        }
    }
}
