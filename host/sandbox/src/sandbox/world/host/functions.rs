//! `HostFunctions`: the functions that an embedding program provides to its guests.

use super::typed::HostParams;
use crate::sandbox::world::request::Caller;
use rwasm_value::ids::EngineId;
use rwasm_value::value::{Packed, PackedError, ToWit, Type, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Functions that guests may import, by interface and name.
///
/// A guest's world imports a WIT interface, whose functions are answered here. A call is a future
/// on the engine's thread: it counts towards the task's time, and is dropped when the task is
/// stopped or its time is up. It should not block, since the engine runs nothing else meanwhile. A
/// function that fails or panics fails the task with the code `trap`.
///
/// Modules that import an embedder's interface run as components, which is impossible for a WASI
/// command that is a core module.
#[derive(Clone, Default)]
pub struct HostFunctions {
    functions: BTreeMap<(Arc<str>, Arc<str>), HostFunction>,
}

/// The task on whose behalf a host function is called.
///
/// # Examples
///
/// ```
/// use rwasm_sandbox::sandbox::{HostError, HostFunctions};
///
/// struct User {
///     language: &'static str,
/// }
///
/// let functions = HostFunctions::new().function(
///     "my:package/user@1.0.0",
///     "language",
///     async |call, (default,): (String,)| match call.context::<User>() {
///         Some(user) => Ok(user.language.to_owned()),
///         None if call.tenant().is_some() => Ok(default),
///         None => Err(HostError::new("nobody is logged in")),
///     },
/// );
/// # drop(functions);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostCall {
    /// The engine that runs the task.
    pub engine: EngineId,
    /// The id of the task.
    pub task: u64,
    pub(super) caller: Option<Arc<Caller>>,
}

impl HostCall {
    /// Returns the value that the task's view or settings have for host functions, if it is of this type.
    #[must_use]
    pub fn context<T: Any>(&self) -> Option<&T> {
        self.caller.as_ref()?.context.as_ref()?.downcast_ref()
    }

    /// Returns the label of the tenant that submitted the task, if it belongs to one.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.caller.as_ref()?.tenant.as_deref()
    }
}

/// The error of a host function; the task fails with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostError(String);

/// The reason why functions cannot be provided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostFunctionsError {
    /// The name of the interface is not valid in WIT.
    #[error("`{interface}` is not a valid WIT interface: write one like `my:package/names@1.0.0`")]
    Interface {
        /// The name that was given.
        interface: String,
    },
    /// The interface belongs to the host itself or to WASI.
    #[error("`{interface}` cannot be defined by a program: it belongs to the host")]
    Reserved {
        /// The name that was given.
        interface: String,
    },
    /// The name of the function is not valid in WIT.
    #[error("`{name}` of `{interface}` is not a valid WIT name: write one like `look-up`")]
    Name {
        /// The interface.
        interface: String,
        /// The name that was given.
        name: String,
    },
}

/// One function: its check of the types that a guest wants, and its implementation.
#[derive(Clone)]
pub(super) struct HostFunction {
    pub(super) check: Check,
    pub(super) call: Call,
}

/// Checks whether the function has these parameters and this result; if not, returns what it has
/// instead.
type Check = fn(&[(String, Type)], Option<&Type>) -> Result<(), String>;

/// Makes a call with arguments of the types that the guest passes, for a result of the type that it
/// wants.
pub(super) type Call = Arc<dyn Fn(HostCall, Vec<Packed>, Option<Type>) -> Answer + Send + Sync>;

pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Option<Packed>, CallError>> + Send>>;

/// How a call failed.
pub(super) enum CallError {
    /// The function returned an error.
    Failed(HostError),
    /// An argument or the result does not have the type that the guest wants.
    Unfit(String),
    /// It panicked, in another process.
    Panicked(String),
}

impl HostError {
    /// Makes an error with this message: lower case, no full stop.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<PackedError> for CallError {
    fn from(error: PackedError) -> Self {
        Self::Unfit(error.to_string())
    }
}

impl HostFunctions {
    /// No functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function of Rust's own types. `interface` is written as in WIT, like
    /// `my:package/names@1.0.0`, and serves guests that name a compatible version. Modules that
    /// import it with other types are refused when they are prepared. `()` is the result of a
    /// function without one.
    ///
    /// # Examples
    ///
    /// ```
    /// use rwasm_sandbox::sandbox::HostFunctions;
    ///
    /// let functions = HostFunctions::new().function(
    ///     "my:package/names@1.0.0",
    ///     "repeat",
    ///     async |_, (name, times): (String, u32)| Ok(name.repeat(times as usize)),
    /// );
    /// # drop(functions);
    /// ```
    #[must_use]
    pub fn function<P, R, F, A>(self, interface: &str, name: &str, function: F) -> Self
    where
        P: HostParams,
        R: ToWit,
        F: Fn(HostCall, P) -> A + Send + Sync + 'static,
        A: Future<Output = Result<R, HostError>> + Send + 'static,
    {
        let call = move |call: HostCall, arguments: Vec<Packed>, wanted: Option<Type>| {
            let answer = P::take(&arguments).map(|arguments| function(call, arguments));
            let answer = async move {
                let result = answer?.await.map_err(CallError::Failed)?;
                Ok(match wanted {
                    Some(ty) => Some(Packed::pack_from(&result, &ty)?),
                    None => None,
                })
            };
            Box::pin(answer) as Answer
        };
        self.with(interface, name, fits::<P, R>, Arc::new(call))
    }

    /// Adds a function that takes and returns values of any type, otherwise like
    /// [`HostFunctions::function`]. Its result must have the type that the guest wants, or be
    /// `None` for a function without a result.
    ///
    /// # Examples
    ///
    /// ```
    /// use rwasm_sandbox::sandbox::{HostError, HostFunctions};
    /// use rwasm_value::value::Value;
    ///
    /// let functions = HostFunctions::new().dynamic(
    ///     "my:package/names@1.0.0",
    ///     "shout",
    ///     async |_, arguments| match &arguments[..] {
    ///         [Value::String(name)] => Ok(Some(name.to_uppercase().into())),
    ///         _ => Err(HostError::new("one string is wanted")),
    ///     },
    /// );
    /// # drop(functions);
    /// ```
    #[must_use]
    pub fn dynamic<F, A>(self, interface: &str, name: &str, function: F) -> Self
    where
        F: Fn(HostCall, Vec<Value>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Option<Value>, HostError>> + Send + 'static,
    {
        let call = move |call: HostCall, arguments: Vec<Packed>, wanted: Option<Type>| {
            let arguments: Result<Vec<Value>, PackedError> =
                arguments.iter().map(Packed::unpack).collect();
            let answer = arguments.map(|arguments| function(call, arguments));
            let answer = async move {
                match (answer?.await.map_err(CallError::Failed)?, wanted) {
                    (None, None) => Ok(None),
                    (Some(value), Some(ty)) => Ok(Some(Packed::pack(&value, &ty)?)),
                    (None, Some(ty)) => {
                        Err(CallError::Unfit(format!("expected {ty}, found nothing")))
                    }
                    (Some(_), None) => {
                        Err(CallError::Unfit("expected no value, found one".to_owned()))
                    }
                }
            };
            Box::pin(answer) as Answer
        };
        let check = |_: &[(String, Type)], _: Option<&Type>| Ok(());
        self.with(interface, name, check, Arc::new(call))
    }

    pub(super) fn with(mut self, interface: &str, name: &str, check: Check, call: Call) -> Self {
        let key = (interface.into(), name.into());
        self.functions.insert(key, HostFunction { check, call });
        self
    }

    /// Whether there are no functions.
    #[doc(hidden)]
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Checks that all functions can be provided.
    ///
    /// # Errors
    ///
    /// Returns an error if a name is not valid in WIT, or belongs to the host itself.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), HostFunctionsError> {
        for (interface, name) in self.functions.keys() {
            let (interface, name) = (interface.to_string(), name.to_string());
            if !is_interface(&interface) {
                return Err(HostFunctionsError::Interface { interface });
            }
            if interface.starts_with("wasi:") || interface.starts_with("rwasm:") {
                return Err(HostFunctionsError::Reserved { interface });
            }
            if !is_kebab(&name) {
                return Err(HostFunctionsError::Name { interface, name });
            }
        }
        Ok(())
    }

    /// Returns the function for an import with that name, of that interface or of one with a
    /// compatible version.
    pub(super) fn find(&self, interface: &str, name: &str) -> Option<&HostFunction> {
        let key = (Arc::from(interface), Arc::from(name));
        self.functions.get(&key).or_else(|| {
            let mut others = self.functions.iter();
            let other = others.find(|((offered, known), _)| {
                **known == *name && are_compatible(offered, interface)
            });
            other.map(|(_, function)| function)
        })
    }

    /// Whether there is any function of that interface.
    pub(in crate::sandbox) fn has_interface(&self, interface: &str) -> bool {
        self.functions
            .keys()
            .any(|(offered, _)| are_compatible(offered, interface))
    }
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.functions.keys();
        f.debug_set()
            .entries(names.map(|(interface, name)| format!("{interface}#{name}")))
            .finish()
    }
}

/// Whether a function of these Rust types has these parameters and this result.
fn fits<P: HostParams, R: ToWit>(
    params: &[(String, Type)],
    result: Option<&Type>,
) -> Result<(), String> {
    if P::fits(params) && R::fits_side(result) {
        return Ok(());
    }
    let result = R::wit_side().map(|ty| format!(" -> {ty}"));
    Err(format!(
        "func({}){}",
        P::wit().join(", "),
        result.unwrap_or_default()
    ))
}

/// Whether one may replace the other: they are the same, or their versions agree in the first
/// number that is not 0.
fn are_compatible(one: &str, other: &str) -> bool {
    fn track(interface: &str) -> Option<(&str, [u64; 3])> {
        let (path, version) = interface.split_once('@')?;
        let mut numbers = version.splitn(3, '.').map(|number| number.parse().ok());
        let [major, minor, patch] = [numbers.next()??, numbers.next()??, numbers.next()??];
        let track = match (major, minor) {
            (0, 0) => [0, 0, patch],
            (0, _) => [0, minor, 0],
            _ => [major, 0, 0],
        };
        Some((path, track))
    }
    one == other || track(one).is_some_and(|one| Some(one) == track(other))
}

/// Whether the name is `package:name/interface`, with or without a version.
fn is_interface(name: &str) -> bool {
    let path = name.split_once('@').map_or(name, |(path, _)| path);
    path.split_once(':')
        .and_then(|(namespace, rest)| Some((namespace, rest.split_once('/')?)))
        .is_some_and(|(namespace, (package, interface))| {
            [namespace, package, interface].into_iter().all(is_kebab)
        })
}

fn is_kebab(name: &str) -> bool {
    !name.is_empty()
        && name.split('-').all(|word| {
            word.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(interface: &str, name: &str) -> HostFunctions {
        HostFunctions::new().dynamic(interface, name, async |_, _| Ok(None))
    }

    #[test]
    fn a_compatible_version_serves() {
        let functions = offering("a:b/c@1.2.0", "f");
        for interface in ["a:b/c@1.2.0", "a:b/c@1.0.0", "a:b/c@1.9.1"] {
            assert!(functions.find(interface, "f").is_some(), "{interface}");
            assert!(functions.find(interface, "g").is_none(), "{interface}");
        }
        for interface in ["a:b/c", "a:b/c@2.0.0", "a:b/d@1.2.0", "a:b/c@1.2.0-rc.1"] {
            assert!(!functions.has_interface(interface), "{interface}");
        }
        assert!(offering("a:b/c@0.1.0", "f").has_interface("a:b/c@0.1.7"));
        assert!(!offering("a:b/c@0.1.0", "f").has_interface("a:b/c@0.2.0"));
        assert!(offering("a:b/c", "f").has_interface("a:b/c"));
    }

    #[test]
    fn names_that_are_none_and_names_that_are_taken_are_refused() {
        let refused = |interface: &str, name: &str| {
            let error = offering(interface, name).check().unwrap_err();
            error.to_string()
        };
        assert_eq!(offering("a:b/c@1.0.0", "look-up").check(), Ok(()));
        assert!(refused("names", "f").starts_with("`names` is not a valid WIT interface"));
        assert!(refused("a:b", "f").starts_with("`a:b` is not a valid WIT interface"));
        assert!(refused("wasi:cli/run@0.2.0", "run").contains("cannot be defined by a program"));
        assert!(refused("rwasm:task/host@0.1.0", "log").contains("cannot be defined by a program"));
        assert!(
            refused("a:b/c", "look_up").starts_with("`look_up` of `a:b/c` is not a valid WIT name")
        );
    }
}
