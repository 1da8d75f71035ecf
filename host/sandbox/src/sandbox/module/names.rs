//! The functions of a module by name: by full name, or by a short one that is unambiguous.
//!
//! The full name of a function in an interface is `package:name/interface@1.2.3#function`. The
//! version, the package, or everything but the function's own name may be omitted. A full name
//! takes precedence over short ones.

use super::function::FunctionError;
use super::{Form, Function, ModuleInfo};
use std::collections::HashMap;

/// The functions of a module, and the index of each full name in the list: a module may have many.
pub(in crate::sandbox) struct Functions {
    list: Vec<Function>,
    by_name: HashMap<String, usize>,
}

impl From<Vec<Function>> for Functions {
    fn from(list: Vec<Function>) -> Self {
        let names = list.iter().map(|function| function.name.clone());
        // Of several with the same name, the first one stays, since it is inserted last.
        let by_name = names.zip(0..).collect::<Vec<_>>();
        Self {
            by_name: by_name.into_iter().rev().collect(),
            list,
        }
    }
}

impl Functions {
    pub(super) fn list(&self) -> &[Function] {
        &self.list
    }
}

/// The most names that an error suggests.
const PROPOSED: usize = 3;

impl ModuleInfo {
    /// Returns the index in [`ModuleInfo::functions`] of the function called `name`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, if several match, or if the function cannot be called.
    #[doc(hidden)]
    pub fn position(&self, name: &str) -> Result<usize, FunctionError> {
        let functions = &self.0.functions;
        // WIT marks names that are its own keywords, like `%list`, and they are copied from there.
        let unmarked = name.replace('%', "");
        let by_name = |name: &str| functions.by_name.get(name);
        if let Some(index) = by_name(name).or_else(|| by_name(&unmarked)) {
            return Ok(*index);
        }
        let wanted = Name::of(&unmarked);
        let fits = |full: &str| wanted.means(&Name::of(full));
        let callable = functions.list.iter().zip(0..);
        let callable: Vec<(&str, usize)> = callable
            .map(|(function, index)| (function.name.as_str(), index))
            .filter(|(full, _)| fits(full))
            .collect();
        let refused = self.uncallable().iter();
        let refused: Vec<_> = refused.filter(|one| fits(&one.name)).collect();
        match (callable.as_slice(), refused.as_slice()) {
            ([(_, index)], []) => Ok(*index),
            ([], []) => Err(self.no_such_function(name)),
            ([], [one]) => Err(FunctionError::Uncallable {
                module: self.name().to_owned(),
                function: one.to_string().into(),
                reason: one.reason.clone(),
            }),
            _ => {
                let callable = callable.iter().map(|(full, _)| (*full).to_owned());
                let refused = refused.iter().map(|one| one.name.clone());
                Err(FunctionError::Ambiguous {
                    module: self.name().to_owned(),
                    name: name.to_owned(),
                    candidates: callable.chain(refused).collect(),
                })
            }
        }
    }

    fn no_such_function(&self, name: &str) -> FunctionError {
        let functions = self.functions();
        if functions.is_empty() && self.form() == Form::Command {
            return FunctionError::Command {
                module: self.name().to_owned(),
                name: name.to_owned(),
            };
        }
        FunctionError::NotFound {
            module: self.name().to_owned(),
            name: name.to_owned(),
            near: nearest(name, functions.iter().map(|function| &*function.name)),
            functions: functions.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A name in its parts: `package:name/` and `interface`, `@1.2.3` and `function`.
#[derive(Clone, Copy)]
struct Name<'a> {
    package: Option<&'a str>,
    interface: Option<&'a str>,
    version: Option<&'a str>,
    function: &'a str,
}

impl<'a> Name<'a> {
    fn of(name: &'a str) -> Self {
        let Some((path, function)) = name.rsplit_once('#') else {
            return Self {
                package: None,
                interface: None,
                version: None,
                function: name,
            };
        };
        let (path, version) = match path.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (path, None),
        };
        let (package, interface) = match path.rsplit_once('/') {
            Some((package, interface)) => (Some(package), interface),
            None => (None, path),
        };
        Self {
            package,
            interface: Some(interface),
            version,
            function,
        }
    }

    /// Whether it matches the function with the full name `full`.
    fn means(self, full: &Self) -> bool {
        let agrees = |said: Option<&str>, is: Option<&str>| said.is_none() || said == is;
        self.function == full.function
            && agrees(self.interface, full.interface)
            && agrees(self.package, full.package)
            && agrees(self.version, full.version)
    }
}

/// Returns the names similar to `name`, the most similar first. Both the full name of a function
/// and its own name count.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let wanted = spelled(Name::of(name).function);
    // Up to a third of it may be wrong, but never all of it.
    let most = (wanted.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|full| {
            let known = spelled(Name::of(full).function);
            let whole = distance(&spelled(name), &spelled(full), most);
            let short = distance(&wanted, &known, most);
            Some((whole.into_iter().chain(short).min()?, full))
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.truncate(PROPOSED);
    near.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// Removes what differs between the spellings of one name in WIT, Python and C.
fn spelled(name: &str) -> String {
    let plain = |char: char| match char {
        '_' => '-',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(plain).collect()
}

/// The most letters of a name that is compared: the time for that is the product of both lengths, and nobody mistypes a
/// longer one.
const LONGEST: usize = 256;

/// Returns the number of letters to insert, delete or change to get from one to the other; none if
/// more than `most`.
fn distance(one: &str, other: &str, most: usize) -> Option<usize> {
    // The lengths alone rule most pairs out, and a module may have many long names.
    let length = |text: &str| text.chars().count();
    let (one_length, other_length) = (length(one), length(other));
    if one_length.max(other_length) > LONGEST || one_length.abs_diff(other_length) > most {
        return None;
    }
    Some(strsim::levenshtein(one, other)).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_leave_out_what_is_clear() {
        let full = Name::of("a:b/words@1.2.0#count");
        for short in [
            "a:b/words@1.2.0#count",
            "a:b/words#count",
            "words@1.2.0#count",
            "words#count",
            "count",
        ] {
            assert!(Name::of(short).means(&full), "{short}");
        }
        for other in [
            "a:b/words@1.2.1#count",
            "a:c/words#count",
            "letters#count",
            "counts",
            "#count",
            "",
        ] {
            assert!(!Name::of(other).means(&full), "{other}");
        }
    }

    #[test]
    fn names_that_are_nearly_right_are_proposed() {
        let names = ["count-words", "a:b/c#count-lines", "reduce", "a:b/c#now"];
        let near = |name: &str| nearest(name, names.into_iter());
        assert_eq!(near("Count_Words"), ["count-words"]);
        assert_eq!(near("count-word"), ["count-words"]);
        assert_eq!(near("cuont-lines"), ["a:b/c#count-lines"]);
        assert_eq!(near("b#count-line"), ["a:b/c#count-lines"]);
        assert_eq!(near("redcue"), ["reduce"]);
        assert_eq!(near("nov"), ["a:b/c#now"]);
        assert_eq!(near("fib"), [""; 0]);
        assert_eq!(near(""), [""; 0]);
    }
}
