//! Functions with checked types: checked once against Rust's types, or at each call against values.
//!
//! Types are checked against what the module declares; nothing is compiled or run here.

use super::{Callee, Form, Function, Module, value_type};
use rwasm_value::plain::in_line;
use rwasm_value::value::{
    Argument, ArgumentError, Fill as _, FromWit, PackedArgument, Params, Stands as _, Type, Unfit,
    Value,
};
use std::fmt;
use std::marker::PhantomData;

/// A function of a module that takes a `P` and returns an `R`. [`Module::function`] makes it and
/// checks its types. Cheap to clone.
///
/// A function that returns `result<T, E>` returns a `T` here: if it returns an error, its task
/// fails with the code `guest-error`.
pub struct Callable<P, R> {
    module: Module,
    /// The index of the function in its module.
    index: usize,
    types: PhantomData<fn(P) -> R>,
}

/// A function that takes any arguments, which are checked at each call, and returns a [`Value`].
pub type DynamicCallable = Callable<Vec<Argument>, Value>;

impl<P, R> Callable<P, R> {
    /// Returns the module of the function.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Returns the function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.signature().name
    }

    /// Returns the function's parameters and result, as the module declares them.
    #[must_use]
    pub fn signature(&self) -> &Function {
        &self.module.functions()[self.index]
    }

    /// Returns the function's index in its module.
    #[doc(hidden)]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns what a request calls.
    #[doc(hidden)]
    pub fn callee(&self) -> Callee {
        Callee::Function(self.index)
    }

    /// Returns the type of the value that a task returns.
    #[doc(hidden)]
    pub fn value_type(&self) -> Type {
        value_type(self.signature())
    }
}

impl<P: Params, R> Callable<P, R> {
    /// Returns the arguments in the form in which they travel.
    #[doc(hidden)]
    pub fn pack(&self, params: P::At<'_>) -> Result<Vec<PackedArgument>, ArgumentError> {
        params.pack(&self.signature().params)
    }
}

impl<P, R> Clone for Callable<P, R> {
    fn clone(&self) -> Self {
        Self {
            module: self.module.clone(),
            index: self.index,
            types: PhantomData,
        }
    }
}

impl<P, R> fmt::Debug for Callable<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callable")
            .field("module", &self.module.name())
            .field("function", &format_args!("{}", self.signature()))
            .finish_non_exhaustive()
    }
}

/// The error of looking up a function of a module.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionError {
    /// The module has no function of this name.
    #[error(
        "`{module}` has no function `{}`{}; it has{}",
        in_line(.name),
        DidYouMean(.near),
        Listed { module, functions, near },
    )]
    NotFound {
        /// The module's name.
        module: String,
        /// The name that was asked for.
        name: String,
        /// The functions with a similar name, the most similar first.
        near: Vec<String>,
        /// The module's functions, as WIT.
        functions: Vec<String>,
    },
    /// Several functions have this name, in different interfaces.
    #[error("`{module}` has several functions named `{}`: {}; give the full name of one", in_line(.name), Named(.candidates, "and"))]
    Ambiguous {
        /// The module's name.
        module: String,
        /// The name that was asked for.
        name: String,
        /// The full names that it may stand for.
        candidates: Vec<String>,
    },
    /// The function exists, but its types cannot be those of a task.
    #[error("`{module}` has `{function}`, but no task can call it: {reason}")]
    Uncallable {
        /// The module's name.
        module: String,
        /// The function, as WIT.
        function: Box<str>,
        /// The type that is not supported, its place, and why.
        reason: String,
    },
    /// The module is a WASI command, which is run as a whole and has no functions.
    #[error("`{module}` is a WASI command, which is run as a whole and has no function `{}`", in_line(.name))]
    Command {
        /// The module's name.
        module: String,
        /// The name that was asked for.
        name: String,
    },
    /// The number of parameters differs from the number of types.
    #[error("`{function}` of `{module}` has {found} parameters, not {wanted}")]
    Count {
        /// The module's name.
        module: String,
        /// The function, as WIT.
        function: Box<str>,
        /// The number of parameters.
        found: usize,
        /// The number of types.
        wanted: usize,
    },
    /// A parameter has a different type.
    #[error(
        "`{function}` of `{module}`: parameter {position} (`{name}`) is {found}, not {wanted}{}",
        note(*.form),
    )]
    Parameter {
        /// The module's name.
        module: String,
        /// The module's form: the functions of a plain module only have four types of numbers.
        form: Form,
        /// The function, as WIT.
        function: Box<str>,
        /// The position of the parameter, from 1.
        position: usize,
        /// Its name.
        name: String,
        /// The type of the parameter.
        found: Type,
        /// What the Rust type corresponds to, as WIT.
        wanted: String,
    },
    /// The result has a different type.
    #[error("`{function}` of `{module}`: the result is {found}, not {wanted}{}", note(*.form))]
    Result {
        /// The module's name.
        module: String,
        /// The module's form: the functions of a plain module only have four types of numbers.
        form: Form,
        /// The function, as WIT.
        function: Box<str>,
        /// The type of the result: for a `result`, that of its `ok`. `nothing` if the function has
        /// no result.
        found: String,
        /// What the Rust type corresponds to, as WIT.
        wanted: String,
    },
}

impl Module {
    /// Looks up the function `name`, which takes a `P` and returns an `R`.
    ///
    /// The full name of a function in an interface is `package:name/interface@1.2.3#function`. The
    /// version, the package, or everything but the function's own name may be omitted if the rest
    /// is unambiguous.
    ///
    /// `P` is a tuple, such as `(&str, u64)`, or a single type; see [`Params`]. `R` is a type that
    /// [`FromWit`] lists. For a function that returns `result<T, E>`, `R` corresponds to `T`, since
    /// an error makes the task fail.
    ///
    /// ```no_run
    /// # use rwasm_sandbox::sandbox::Module;
    /// let module = Module::from_file("wordcount.wasm")?;
    /// let mapper = module.function::<(&str,), Vec<(String, u64)>>("mapper")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such function, if several match, or if the types differ.
    pub fn function<P: Params, R: FromWit>(
        &self,
        name: &str,
    ) -> Result<Callable<P, R>, FunctionError> {
        let index = self.position(name)?;
        check::<P, R>(self, &self.functions()[index])?;
        Ok(Callable {
            module: self.clone(),
            index,
            types: PhantomData,
        })
    }

    /// Looks up the function `name`, whatever its types.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such function.
    pub fn dynamic_function(&self, name: &str) -> Result<DynamicCallable, FunctionError> {
        self.function(name)
    }
}

fn check<P: Params, R: FromWit>(module: &Module, function: &Function) -> Result<(), FunctionError> {
    P::check(&function.params).map_err(|unfit| match unfit {
        Unfit::Count(wanted) => FunctionError::Count {
            module: module.name().to_owned(),
            function: function.to_string().into(),
            found: function.params.len(),
            wanted,
        },
        Unfit::Type { index, expected } => {
            let (name, found) = function.params[index].clone();
            FunctionError::Parameter {
                module: module.name().to_owned(),
                form: module.form(),
                function: function.to_string().into(),
                position: index + 1,
                name,
                found,
                wanted: expected,
            }
        }
    })?;
    let given = value_type(function);
    if R::fits(&given) {
        return Ok(());
    }
    let is_nothing = <()>::fits(&given);
    Err(FunctionError::Result {
        module: module.name().to_owned(),
        form: module.form(),
        function: function.to_string().into(),
        found: if is_nothing {
            <()>::wit()
        } else {
            given.to_string()
        },
        wanted: R::wit(),
    })
}

/// Suggests similar names, if there are any.
struct DidYouMean<'a>(&'a [String]);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            near => write!(f, " (did you mean {}?)", Named(near, "or")),
        }
    }
}

/// A list of names, the last one after this word.
struct Named<'a>(&'a [String], &'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, word) = self;
        for (idx, name) in names.iter().enumerate() {
            match idx {
                0 => {}
                _ if idx + 1 == names.len() => write!(f, " {word} ")?,
                _ => f.write_str(", ")?,
            }
            write!(f, "`{}`", in_line(name))?;
        }
        Ok(())
    }
}

/// The most functions that are listed when one is not found, and the most characters shown of each.
const LISTED: usize = 10;
const WIDEST: usize = 160;

/// The functions to list when one is not found: those with similar names, otherwise the first ones.
struct Listed<'a> {
    module: &'a str,
    functions: &'a [String],
    near: &'a [String],
}

impl Listed<'_> {
    fn is_near(&self, function: &str) -> bool {
        let rest = |name: &String| function.strip_prefix(name.as_str());
        let mut rests = self.near.iter().filter_map(rest);
        rests.any(|rest| rest.starts_with(": "))
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_listed = |function: &&String| self.near.is_empty() || self.is_near(function);
        let listed: Vec<&str> = self
            .functions
            .iter()
            .filter(is_listed)
            .map(String::as_str)
            .collect();
        match listed.as_slice() {
            [] => f.write_str(" none"),
            listed => write!(f, ":{}", FunctionList::new(self.module, listed)),
        }
    }
}

/// Functions in an error, one per line; many are cut short, as are long ones.
#[doc(hidden)]
pub struct FunctionList<'a, S> {
    module: &'a str,
    functions: &'a [S],
}

impl<'a, S: AsRef<str>> FunctionList<'a, S> {
    /// Lists functions of a module, each as WIT.
    pub const fn new(module: &'a str, functions: &'a [S]) -> Self {
        Self { module, functions }
    }
}

impl<S: AsRef<str>> fmt::Display for FunctionList<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for function in self.functions.iter().take(LISTED) {
            let function = function.as_ref();
            match function.char_indices().nth(WIDEST) {
                Some((end, _)) => write!(f, "\n  {}…", &function[..end])?,
                None => write!(f, "\n  {function}")?,
            }
        }
        let left = self.functions.len().saturating_sub(LISTED);
        if left > 0 {
            let module = self.module;
            write!(
                f,
                "\n  and {left} more: `rwasm-cluster inspect {module}` lists them all"
            )?;
        }
        Ok(())
    }
}

/// A note on types that do not fit.
const fn note(form: Form) -> &'static str {
    match form {
        Form::Plain => {
            " (plain functions only take and return s32, s64, f32 and f64, unless the module has an ABI)"
        }
        Form::Command | Form::TypedCore | Form::Component => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Binding, Inner, ModuleHash, ModuleInfo};
    use super::*;
    use bytes::Bytes;
    use rwasm_value::value::Reference;
    use std::sync::Arc;

    fn function(name: &str, params: &[(&str, Type)], result: Option<Type>) -> Function {
        let params = params.iter();
        Function {
            name: name.to_owned(),
            params: params
                .map(|(name, ty)| ((*name).to_owned(), ty.clone()))
                .collect(),
            result,
            binding: Binding::Plain,
            declared: None,
            is_fed: false,
            elements: None,
        }
    }

    fn module(form: Form, functions: Vec<Function>) -> Module {
        let info = ModuleInfo(Arc::new(Inner {
            script: None,
            code_hash: ModuleHash::of(b""),
            name: "m.wasm".to_owned(),
            path: None,
            size: 0,
            weight: 0,
            hash: ModuleHash::of(&[]),
            form,
            is_component: form == Form::Component,
            has_wit: form != Form::Plain,
            is_preview3: false,
            demands: crate::sandbox::module::Demands::default(),
            begins_with_start: false,
            abi: None,
            likely_abi: None,
            unlinkable: None,
            functions: functions.into(),
            uncallable: Vec::new(),
            imports: Vec::new(),
        }));
        Module {
            info,
            bytes: Bytes::new(),
        }
    }

    fn words() -> Module {
        let counts = Type::list(Type::tuple([Type::String, Type::U64]));
        let fallible = Type::result(Some(counts.clone()), Some(Type::String));
        let silent = Type::result(None, Some(Type::String));
        module(
            Form::TypedCore,
            vec![
                function("count-words", &[("text", Type::String)], Some(counts)),
                function("try-count", &[("text", Type::String)], Some(fallible)),
                function("check", &[("a", Type::U8), ("b", Type::Bool)], Some(silent)),
                function("a:b/c#now", &[], None),
            ],
        )
    }

    type Counts = Vec<(String, u64)>;

    #[test]
    fn functions_are_had_by_their_types() {
        let module = words();
        let count = module.function::<(&str,), Counts>("count-words").unwrap();
        assert_eq!(count.name(), "count-words");
        assert_eq!(count.callee(), Callee::Function(0));
        assert!(module.function::<String, Counts>("count-words").is_ok());
        assert!(module.function::<Reference, Value>("count-words").is_ok());
        assert!(module.function::<(), ()>("a:b/c#now").is_ok());
        assert_eq!(module.dynamic_function("now").unwrap().name(), "a:b/c#now");
        assert!(module.dynamic_function("check").is_ok());
        assert_eq!(
            format!("{count:?}"),
            "Callable { module: \"m.wasm\", function: count-words: func(text: string) -> \
             list<tuple<string, u64>>, .. }"
        );
    }

    #[test]
    fn a_result_counts_as_what_its_ok_carries() {
        let module = words();
        assert!(module.function::<&str, Counts>("try-count").is_ok());
        assert!(module.function::<(u8, bool), ()>("check").is_ok());
        let refused = module.function::<&str, Result<Counts, String>>("try-count");
        assert_eq!(
            refused.unwrap_err().to_string(),
            "`try-count: func(text: string) -> result<list<tuple<string, u64>>, string>` of \
             `m.wasm`: the result is list<tuple<string, u64>>, not \
             result<list<tuple<string, u64>>, string>"
        );
    }

    #[test]
    fn a_name_that_is_nearly_right_is_told() {
        let module = words();
        let near = |name: &str| match module.dynamic_function(name) {
            Err(FunctionError::NotFound { near, .. }) => near,
            other => panic!("{other:?}"),
        };
        assert_eq!(near("Count_Words"), ["count-words"]);
        assert_eq!(near("words"), [""; 0]);

        let small = super::tests::module(
            Form::Plain,
            vec![function("add-one", &[("p0", Type::S32)], Some(Type::S32))],
        );
        assert_eq!(
            small.dynamic_function("add_one").unwrap_err().to_string(),
            "`m.wasm` has no function `add_one` (did you mean `add-one`?); it has:\n  add-one: \
             func(p0: s32) -> s32"
        );
        let names: Vec<String> = (0..12)
            .map(|number| format!("{number}-{}", "x".repeat(200)))
            .collect();
        let many = names.iter().map(|name| function(name, &[], None)).collect();
        let many = super::tests::module(Form::Plain, many);
        let text = many.dynamic_function("word").unwrap_err().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 12, "{text}");
        assert_eq!(lines[0], "`m.wasm` has no function `word`; it has:");
        assert_eq!(lines[1], format!("  0-{}…", "x".repeat(WIDEST - 2)));
        assert_eq!(
            lines[11],
            "  and 2 more: `rwasm-cluster inspect m.wasm` lists them all"
        );

        let none = super::tests::module(Form::Plain, Vec::new());
        assert_eq!(
            none.dynamic_function("f").unwrap_err().to_string(),
            "`m.wasm` has no function `f`; it has none"
        );
        let command = super::tests::module(Form::Command, Vec::new());
        assert_eq!(
            command.dynamic_function("f").unwrap_err().to_string(),
            "`m.wasm` is a WASI command, which is run as a whole and has no function `f`"
        );
    }

    #[test]
    fn types_that_do_not_fit_say_which() {
        let module = words();
        let error = module.function::<(u8, u8), ()>("check").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`check: func(a: u8, b: bool) -> result<_, string>` of `m.wasm`: parameter 2 (`b`) is \
             bool, not u8"
        );
        let error = module.function::<u8, ()>("check").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`check: func(a: u8, b: bool) -> result<_, string>` of `m.wasm` has 2 parameters, not 1"
        );
        let error = module.function::<(), u8>("a:b/c#now").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`a:b/c#now: func()` of `m.wasm`: the result is nothing, not u8"
        );
    }

    #[test]
    fn plain_functions_know_four_types_of_numbers() {
        let params = [("p0", Type::S32), ("p1", Type::F64)];
        let module = module(Form::Plain, vec![function("f", &params, Some(Type::S64))]);
        assert!(module.function::<(i32, f64), i64>("f").is_ok());
        let error = module.function::<(u32, f64), i64>("f").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`f: func(p0: s32, p1: f64) -> s64` of `m.wasm`: parameter 1 (`p0`) is s32, not u32 \
             (plain functions only take and return s32, s64, f32 and f64, unless the module has an ABI)"
        );
    }

    #[test]
    fn a_callable_goes_from_thread_to_thread_and_borrows_anew_for_each_call() {
        fn check<T: Send + Sync + Clone + 'static>(_: &T) {}
        let module = words();
        let count = module.function::<(&str,), Counts>("count-words").unwrap();
        for number in 0..2 {
            let line = number.to_string();
            assert_eq!(count.pack((&line,)).unwrap().len(), 1);
        }
        check(
            &module
                .function::<(&'static str,), Counts>("count-words")
                .unwrap(),
        );
        check(&module.dynamic_function("check").unwrap());
    }
}
