//! From a job's wishes and a module's types to what will be called. Everything that can be
//! refused is refused here, before anything runs.

use super::spec::{JobSpec, Merge};
use crate::job::Delivery;
use crate::merge::tree::Shape;
use crate::merge::{Builtin, Fold, MergeTypeError};
use crate::view::shared::targets::TargetError;
use rwasm_sandbox::chunk::{Chunking, Records};
use rwasm_sandbox::input::{InvalidUtf8, Reading};
use rwasm_sandbox::sandbox::{
    Callable, Callee, CommandLine, Elementwise, Form, Function, FunctionError, FunctionList,
    Module, value_type,
};
use rwasm_value::value::{FromWit, Type};

/// Why a job cannot be made of a module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No single function has that name, or the one that has it cannot be called.
    #[error(transparent)]
    Function(Box<FunctionError>),
    /// No function could be chosen as the mapper.
    #[error(
        "`{module}` has no `mapper`, and {}",
        candidates(module, .functions)
    )]
    NoMapper {
        /// The module.
        module: String,
        /// The functions that could be the mapper: none or several.
        functions: Vec<String>,
    },
    /// The mapper's parameters are not those of a mapper.
    #[error(
        "`{function}` cannot be mapped over input: it takes {found}, but one string or list<u8> is required"
    )]
    NotAMapper {
        /// The function with its type.
        function: String,
        /// Its parameters.
        found: String,
    },
    /// The reducer does not fit the mapper's result.
    #[error(
        "the reducer does not fit the mapper: `{mapper}` returns {gives}, so the reducer must be ({list}) -> {gives} or ({gives}, {gives}) -> {gives}, but it is `{reducer}`"
    )]
    ReducerDoesNotFit {
        /// The mapper.
        mapper: String,
        /// The mapper's result type.
        gives: Box<Type>,
        /// A list of that type.
        list: Box<Type>,
        /// The reducer with its type.
        reducer: String,
    },
    /// A command has no typed result to reduce.
    #[error("`{module}` runs as a WASI command, whose output can be merged only by {}{}", of_outputs(), map_hint(module, .functions))]
    CommandReducer {
        /// The module.
        module: String,
        /// Its functions that could be the mapper, if it has any.
        functions: Vec<String>,
    },
    /// A built-in merge does not fit the type.
    #[error(transparent)]
    Merge(#[from] MergeTypeError),
    /// A view names engines that do not exist, or none.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// Unordered output was combined with a merge, which needs an order.
    #[error("unordered output needs a job without a merge")]
    UnorderedMerge,
    /// Program arguments were given for a function.
    #[error(
        "arguments after `--` are for WASI commands, but `{module}` is called by its function `{function}`"
    )]
    ArgumentsForFunction {
        /// The module.
        module: String,
        /// The function that is called.
        function: String,
    },
    /// Exit codes were given for a function, which returns instead of exiting.
    #[error(
        "exit codes are those of WASI commands, but `{module}` is called by its function `{function}`"
    )]
    ExitForFunction {
        /// The module.
        module: String,
        /// The function that is called.
        function: String,
    },
    /// The function has one result for each call, which comes when the call has ended.
    #[error(
        "`{function}` has no elements that come while it runs: its result is not a stream or a future"
    )]
    NoElements {
        /// The function, as WIT.
        function: String,
    },
    /// The elements have another type.
    #[error("the elements of `{function}` are {found}, not {wanted}")]
    ElementType {
        /// The function, as WIT.
        function: String,
        /// The type of an element.
        found: Box<Type>,
        /// What the Rust type corresponds to, as WIT.
        wanted: String,
    },
    /// Elements come one by one, and there is a merge.
    #[error("elements as they come need a job without a merge")]
    ElementsMerge,
    /// Records other than lines were described, and inputs are not cut between records.
    #[error("with the chunk size `{0}`, inputs are not cut between records")]
    RecordsUncut(Chunking),
    /// Bytes that are not UTF-8 were to be replaced or left out, and the function takes any bytes.
    #[error("`{function}` takes bytes, which need not be UTF-8")]
    NotText {
        /// What is called, as WIT; the name of a WASI command.
        function: String,
    },
    /// A WASI command is run, whose output is one result.
    #[error("`{module}` runs as a WASI command, which has no elements that come while it runs")]
    ElementsOfCommand {
        /// The module's name.
        module: String,
    },
}

/// What the function gives while it runs, which has to be this.
pub(crate) fn checked_elements<T: FromWit>(function: &Function) -> Result<Elementwise, PlanError> {
    let no_elements = || PlanError::NoElements {
        function: function.to_string(),
    };
    let elementwise = function.elementwise().ok_or_else(no_elements)?;
    let ty = elementwise.ty();
    if !T::fits(&ty) {
        return Err(PlanError::ElementType {
            function: function.to_string(),
            found: Box::new(ty),
            wanted: T::wit(),
        });
    }
    Ok(elementwise.clone())
}

fn candidates(module: &str, functions: &[String]) -> String {
    if functions.is_empty() {
        "none of its functions takes one string or list<u8>".to_owned()
    } else {
        let list = FunctionList::new(module, functions);
        format!("several functions take one string or list<u8>:{list}")
    }
}

/// The merges that take the outputs of commands.
fn of_outputs() -> String {
    let builtins = Builtin::ALL.into_iter();
    let names = builtins
        .filter(|builtin| builtin.merges_outputs())
        .map(|builtin| format!("`{builtin}`"));
    let names: Vec<String> = names.collect();
    format!("{} and `{}`", names.join(", "), Merge::None)
}

fn map_hint(module: &str, functions: &[String]) -> String {
    if functions.is_empty() {
        String::new()
    } else {
        let list = FunctionList::new(module, functions);
        format!("; to map a function of it, name it in `JobSpec::map`:{list}")
    }
}

/// What a job will call, and what it makes of the outcomes.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) map: Callee,
    /// Whether an input flows into that while it runs, instead of being copied.
    pub(crate) is_streamed: bool,
    pub(crate) reduce: Option<Reduce>,
    /// What each task gives.
    pub(crate) item: Type,
    /// The built-in merge, where there is one.
    pub(crate) fold: Option<Builtin>,
    pub(crate) chunking: Chunking,
    pub(crate) reading: Reading,
    pub(crate) command: CommandLine,
    /// How the outcomes are merged, with nothing left to default.
    pub(crate) merge: Merge,
    /// Whether outcomes are delivered as they come.
    pub(crate) unordered: bool,
}

/// How the guest's reducer is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reduce {
    pub(crate) function: Callee,
    pub(crate) shape: Shape,
}

impl Plan {
    /// Chooses what `spec` asks of `module` and checks all types.
    pub(crate) fn new(module: &Module, spec: &JobSpec) -> Result<Self, PlanError> {
        if module.form() == Form::Command && spec.map.is_none() {
            return command(module, spec);
        }
        let (idx, mapper) = mapper(module, spec.map.as_deref())?;
        if !spec.arguments.is_empty() || spec.argv0.is_some() {
            return Err(PlanError::ArgumentsForFunction {
                module: module.name().to_owned(),
                function: mapper.name.clone(),
            });
        }
        if !spec.ok_exit.is_empty() {
            return Err(PlanError::ExitForFunction {
                module: module.name().to_owned(),
                function: mapper.name.clone(),
            });
        }
        let chunking = spec.chunking.unwrap_or(Chunking::Auto);
        let is_text = matches!(mapper.params.as_slice(), [(_, Type::String)]);
        check_reading(&spec.reading, chunking, is_text, mapper)?;
        let item = value_type(mapper);
        let (reduce, fold) = merge(module, mapper, &item, &spec.merge)?;
        if let Some(builtin) = fold {
            Fold::new(builtin, &item)?;
        }
        Ok(Self {
            map: Callee::Function(idx),
            is_streamed: module.streams_input(Callee::Function(idx)),
            reduce,
            item,
            fold: joined(spec, fold),
            chunking,
            reading: spec.reading.clone(),
            command: CommandLine::default(),
            merge: resolved(module, reduce, fold),
            unordered: unordered(spec, reduce.is_some() || fold.is_some())?,
        })
    }

    /// The plan of a map over argument lists: nothing is merged.
    pub(crate) fn map<P, R>(function: &Callable<P, R>, unordered: bool) -> Self {
        Self {
            map: function.callee(),
            is_streamed: false,
            reduce: None,
            item: function.value_type(),
            fold: None,
            chunking: Chunking::Auto,
            reading: Reading::default(),
            command: CommandLine::default(),
            merge: Merge::None,
            unordered,
        }
    }

    /// The type of the merged value, or of each outcome where nothing is merged.
    pub(crate) fn result_type(&self) -> Result<Type, PlanError> {
        Ok(match self.fold {
            Some(builtin) => Fold::new(builtin, &self.item)?.result_type(),
            None => self.item.clone(),
        })
    }

    /// Whether each outcome is delivered, since nothing is merged.
    pub(crate) fn gives_outcomes(&self) -> bool {
        self.reduce.is_none() && self.fold.is_none()
    }

    /// How the outcomes reach the user.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.reduce {
            Some(reduce) => Delivery::Reduced(reduce.shape),
            None if self.unordered => Delivery::AsCompleted,
            None => Delivery::Ordered,
        }
    }
}

/// The merge that was chosen, by its name.
fn resolved(module: &Module, reduce: Option<Reduce>, fold: Option<Builtin>) -> Merge {
    match (reduce, fold) {
        (
            Some(Reduce {
                function: Callee::Function(idx),
                ..
            }),
            _,
        ) => Merge::Reducer(module.functions()[idx].name.clone()),
        (
            Some(Reduce {
                function: Callee::Command,
                ..
            }),
            _,
        )
        | (None, None) => Merge::None,
        (None, Some(builtin)) => builtin.into(),
    }
}

/// The functions that take what a mapper takes.
fn mappers(module: &Module) -> Vec<String> {
    let functions = module.functions().iter();
    let fitting = functions.filter(|function| is_mapper(function));
    fitting.map(ToString::to_string).collect()
}

fn command(module: &Module, spec: &JobSpec) -> Result<Plan, PlanError> {
    let fold = match &spec.merge {
        Merge::Default => Some(Builtin::Concat),
        Merge::None => None,
        Merge::Builtin(builtin) if builtin.merges_outputs() => Some(*builtin),
        Merge::Builtin(_) | Merge::Reducer(_) => {
            return Err(PlanError::CommandReducer {
                module: module.name().to_owned(),
                functions: mappers(module),
            });
        }
    };
    // A program's name is what it was loaded as, without its folders, as a shell would have it.
    let name = module.name().rsplit('/').next().unwrap_or_default();
    let name = spec.argv0.as_deref().unwrap_or(name).to_owned();
    let chunking = spec.chunking.unwrap_or(Chunking::File);
    check_reading(&spec.reading, chunking, false, &module.name())?;
    Ok(Plan {
        map: Callee::Command,
        is_streamed: true,
        reduce: None,
        item: Type::bytes(),
        fold: joined(spec, fold),
        chunking,
        reading: spec.reading.clone(),
        command: CommandLine {
            arguments: std::iter::once(name)
                .chain(spec.arguments.iter().cloned())
                .collect(),
            ok_exit: spec.ok_exit.clone(),
        },
        merge: resolved(module, None, fold),
        unordered: unordered(spec, fold.is_some())?,
    })
}

/// Refuses what would have no effect on how `function` gets its input.
fn check_reading(
    reading: &Reading,
    chunking: Chunking,
    is_text: bool,
    function: &impl ToString,
) -> Result<(), PlanError> {
    if reading.records != Records::Lines && !chunking.is_between_records() {
        return Err(PlanError::RecordsUncut(chunking));
    }
    if reading.invalid_utf8 != InvalidUtf8::Fail && !is_text {
        return Err(PlanError::NotText {
            function: function.to_string(),
        });
    }
    Ok(())
}

/// Returns the built-in merge that runs in this process; `None` for a concat that its user joins.
fn joined(spec: &JobSpec, fold: Option<Builtin>) -> Option<Builtin> {
    fold.filter(|&builtin| !(spec.streamed && builtin == Builtin::Concat))
}

fn unordered(spec: &JobSpec, is_merged: bool) -> Result<bool, PlanError> {
    if spec.job.unordered && is_merged {
        return Err(PlanError::UnorderedMerge);
    }
    Ok(spec.job.unordered)
}

fn is_mapper(function: &Function) -> bool {
    matches!(function.params.as_slice(), [(_, ty)] if *ty == Type::String || ty.is_bytes())
}

fn find<'m>(module: &'m Module, name: &str) -> Result<(usize, &'m Function), PlanError> {
    let index = module.position(name);
    let index = index.map_err(|error| PlanError::Function(Box::new(error)))?;
    Ok((index, &module.functions()[index]))
}

/// The function that has the name by convention, if there is one.
fn conventional<'m>(
    module: &'m Module,
    name: &str,
) -> Result<Option<(usize, &'m Function)>, PlanError> {
    match module.position(name) {
        Ok(index) => Ok(Some((index, &module.functions()[index]))),
        Err(FunctionError::NotFound { .. } | FunctionError::Command { .. }) => Ok(None),
        Err(error) => Err(PlanError::Function(Box::new(error))),
    }
}

fn mapper<'m>(
    module: &'m Module,
    wanted: Option<&str>,
) -> Result<(usize, &'m Function), PlanError> {
    const CONVENTION: &str = "mapper";
    let named = match wanted {
        Some(name) => Some(find(module, name)?),
        None => conventional(module, CONVENTION)?,
    };
    if let Some((idx, function)) = named {
        if is_mapper(function) {
            return Ok((idx, function));
        }
        let params: Vec<String> = function
            .params
            .iter()
            .map(|(_, ty)| ty.to_string())
            .collect();
        let found = if params.is_empty() {
            "nothing".to_owned()
        } else {
            format!("({})", params.join(", "))
        };
        return Err(PlanError::NotAMapper {
            function: function.to_string(),
            found,
        });
    }
    let mut fitting = module
        .functions()
        .iter()
        .enumerate()
        .filter(|(_, function)| is_mapper(function));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(PlanError::NoMapper {
            module: module.name().to_owned(),
            functions: mappers(module),
        }),
    }
}

fn merge(
    module: &Module,
    mapper: &Function,
    item: &Type,
    wanted: &Merge,
) -> Result<(Option<Reduce>, Option<Builtin>), PlanError> {
    const CONVENTION: &str = "reducer";
    match wanted {
        Merge::Reducer(name) => {
            let (idx, function) = find(module, name)?;
            Ok((Some(reduce(mapper, item, idx, function)?), None))
        }
        Merge::Default => match conventional(module, CONVENTION)? {
            Some((idx, function)) => Ok((Some(reduce(mapper, item, idx, function)?), None)),
            None if matches!(item, Type::String | Type::List(_)) => {
                Ok((None, Some(Builtin::Concat)))
            }
            None => Ok((None, Some(Builtin::Collect))),
        },
        other => Ok((None, other.builtin())),
    }
}

fn reduce(
    mapper: &Function,
    item: &Type,
    idx: usize,
    reducer: &Function,
) -> Result<Reduce, PlanError> {
    let list = Type::list(item.clone());
    let params: Vec<&Type> = reducer.params.iter().map(|(_, ty)| ty).collect();
    let shape = match params.as_slice() {
        [parts] if **parts == list => Some(Shape::LIST),
        [left, right] if *left == item && *right == item => Some(Shape::Pair),
        _ => None,
    };
    match shape {
        Some(shape) if value_type(reducer) == *item => Ok(Reduce {
            function: Callee::Function(idx),
            shape,
        }),
        _ => Err(PlanError::ReducerDoesNotFit {
            mapper: mapper.name.clone(),
            gives: Box::new(item.clone()),
            list: Box::new(list),
            reducer: reducer.to_string(),
        }),
    }
}
