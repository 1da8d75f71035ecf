//! Binds a script to the functions of a component: finds them, reads values, and checks what is passed and kept.

use super::super::room::{Room, Weights};
use super::super::signature::Obstacle;
use super::super::wit::{is_of_a_tool, value_type};
use super::super::{Binding, Function};
use super::parse::{Call, Statement, brief, is_name, statements};
use super::{LONGEST, MOST_CALLS, NAME, ScriptError};
use rwasm_value::format::from_wave;
use rwasm_value::plain::in_line;
use rwasm_value::value::{Packed, Type};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use wit_parser::{
    FunctionKind, Handle, Resolve, Type as WitType, TypeDefKind, TypeId, WorldId, WorldItem,
};

/// The calls of a script, in their order.
#[derive(Debug)]
pub(in crate::sandbox) struct Steps(pub(in crate::sandbox) Vec<Step>);

/// A call. Its number stands for what it gives.
#[derive(Debug)]
pub(in crate::sandbox) struct Step {
    /// Its name for people.
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) instance: Option<String>,
    pub(in crate::sandbox) function: String,
    pub(in crate::sandbox) arguments: Vec<Operand>,
    pub(in crate::sandbox) gives: Gives,
    pub(in crate::sandbox) error: Error,
}

#[derive(Debug)]
pub(in crate::sandbox) enum Operand {
    Constant(Packed),
    /// A parameter of the script.
    Param(usize),
    /// What the step with this number gave.
    Given(usize),
    /// The same, for good: a resource that belongs to whom it is passed to.
    GivenAway(usize),
}

/// Whether a step gives a `result`, which may be an error.
#[derive(Debug)]
pub(in crate::sandbox) enum Error {
    Never,
    Of(Option<Type>),
}

/// What a step gives: of a `result`, in its `ok`.
#[derive(Debug)]
pub(in crate::sandbox) enum Gives {
    Nothing,
    Value(Type),
    Resource,
}

/// Binds a script to what the world exports.
pub(in super::super) fn bind(
    resolve: &Resolve,
    world: WorldId,
    text: &[u8],
    room: &mut Room,
) -> Result<Function, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    if text.len() > LONGEST {
        return Err(format!(
            "it has {} bytes, more than the {LONGEST} that a script may have",
            text.len()
        ));
    }
    let statements = statements(text).map_err(|error| error.to_string())?;
    let exports = exports(resolve, world);
    let mut binder = Binder {
        places: places(&exports),
        exports,
        resolve,
        room,
        weights: Weights::default(),
        steps: Vec::new(),
        kinds: Vec::new(),
        variables: HashMap::new(),
        params: Vec::new(),
    };
    let Some((last, before)) = statements.split_last() else {
        return Err("it calls nothing".to_owned());
    };
    let bound = before
        .iter()
        .try_for_each(|statement| binder.statement(statement, false))
        .and_then(|()| binder.statement(last, true));
    bound.map_err(|error| error.to_string())?;
    binder.function()
}

/// A function that can be called.
#[derive(Clone)]
struct Export<'a> {
    interface: Option<Arc<str>>,
    function: &'a wit_parser::Function,
}

/// What a step gives, as it is passed on.
#[derive(Clone)]
enum Kind {
    Nothing,
    Value(Type),
    Resource(TypeId),
    /// A resource that an earlier step, on this line, has passed on for good.
    GivenAway(usize),
}

/// What a function takes or gives.
enum Passed {
    Value(Type),
    Own(TypeId),
    Borrow(TypeId),
}

struct Binder<'a> {
    resolve: &'a Resolve,
    exports: Vec<Export<'a>>,
    /// Where those of a name are, since a script may call many and a component may have many.
    places: HashMap<&'a str, Vec<usize>>,
    /// The types of each call are kept, and may stand for more than they say.
    room: &'a mut Room,
    weights: Weights,
    steps: Vec<Step>,
    /// One for each step.
    kinds: Vec<Kind>,
    /// The step that gave what is called so.
    variables: HashMap<String, usize>,
    params: Vec<(String, Type)>,
}

fn exports(resolve: &Resolve, world: WorldId) -> Vec<Export<'_>> {
    let mut found = Vec::new();
    let mut add = |interface: Option<&Arc<str>>, function| {
        found.push(Export {
            interface: interface.cloned(),
            function,
        });
    };
    for (key, item) in &resolve.worlds[world].exports {
        if is_of_a_tool(resolve, key, item) {
            continue;
        }
        match item {
            WorldItem::Function(function) => add(None, function),
            WorldItem::Interface { id, .. } => {
                let interface = resolve.name_world_key(key).into();
                for function in resolve.interfaces[*id].functions.values() {
                    add(Some(&interface), function);
                }
            }
            WorldItem::Type { .. } => {}
        }
    }
    found
}

/// Where the functions of each name are, with and without what WIT puts before it, and of methods by their own names.
fn places<'a>(exports: &[Export<'a>]) -> HashMap<&'a str, Vec<usize>> {
    let mut places = HashMap::<&str, Vec<usize>>::new();
    for (place, export) in exports.iter().enumerate() {
        let whole = export.function.name.as_str();
        let plain = plain_name(export.function);
        places.entry(whole).or_default().push(place);
        if plain != whole {
            places.entry(plain).or_default().push(place);
            let own = plain.split_once('.').map_or(plain, |(_, own)| own);
            if own != plain {
                places.entry(own).or_default().push(place);
            }
        }
    }
    places
}

impl<'a> Binder<'a> {
    /// The functions that may be called so.
    fn named(&self, name: &str) -> impl Iterator<Item = &Export<'a>> {
        let places = self.places.get(name).into_iter().flatten();
        places.map(|place| &self.exports[*place])
    }

    fn statement(&mut self, statement: &Statement<'_>, is_last: bool) -> Result<(), ScriptError> {
        let line = statement.line;
        let at_line = |message| ScriptError { line, message };
        let mut receiver = None;
        for (place, call) in statement.calls.iter().enumerate() {
            let is_open = is_last && place + 1 == statement.calls.len();
            let step = self.call(call, receiver, is_open, line);
            receiver = Some(step.map_err(at_line)?);
        }
        if let (Some(name), Some(step)) = (statement.name, receiver) {
            self.variables.insert(name.to_owned(), step);
        }
        Ok(())
    }

    /// Adds a step, and returns its number.
    fn call(
        &mut self,
        call: &Call<'_>,
        receiver: Option<usize>,
        is_open: bool,
        line: usize,
    ) -> Result<usize, String> {
        if self.steps.len() == MOST_CALLS {
            return Err(format!("a script has at most {MOST_CALLS} calls"));
        }
        let variable = |name: &str| self.variables.get(name).copied();
        // A method may also be called on what a variable stands for.
        let (receiver, name) = match (receiver, call.name.split_once('.')) {
            (Some(step), _) => (Some(step), call.name),
            (None, Some((first, rest))) => match variable(first) {
                Some(step) => (Some(step), rest),
                None => (None, call.name),
            },
            (None, None) => (None, call.name),
        };
        let found = match receiver {
            Some(step) => self.method(step, name)?,
            None => self.find(name)?,
        };
        let instance = found.interface.as_deref().map(str::to_owned);
        let function = found.function;
        let types = function.params.iter().map(|param| &param.ty);
        for ty in types.chain(&function.result) {
            self.room.take_all(self.weights.of(self.resolve, ty))?;
        }
        if function.kind.is_async() {
            return Err(format!("`{name}` is async, which no call of a script is"));
        }
        let (gives, error, kind) = self.result(function)?;
        let arguments = self.arguments(call, function, receiver, is_open, line)?;
        expect_apart(&arguments)?;
        self.steps.push(Step {
            name: brief(name),
            instance,
            function: function.name.clone(),
            arguments,
            gives,
            error,
        });
        self.kinds.push(kind);
        Ok(self.steps.len() - 1)
    }

    fn arguments(
        &mut self,
        call: &Call<'_>,
        function: &wit_parser::Function,
        receiver: Option<usize>,
        is_open: bool,
        line: usize,
    ) -> Result<Vec<Operand>, String> {
        let mut params = function.params.iter();
        let mut operands = Vec::with_capacity(function.params.len());
        if let Some(step) = receiver {
            // The first parameter of a method.
            params.next();
            self.expect_there(step)?;
            operands.push(Operand::Given(step));
        }
        let name = brief(call.name);
        let Some(arguments) = &call.arguments else {
            if !is_open {
                return Err(format!(
                    "`{name}` has no arguments: only the last call of a script may leave them to it"
                ));
            }
            for param in params {
                let Passed::Value(ty) = self.passed(&param.ty)? else {
                    return Err(format!(
                        "the parameter `{}` of `{name}` is a resource, which a script cannot be given",
                        param.name
                    ));
                };
                operands.push(self.param(&param.name, ty)?);
            }
            return Ok(operands);
        };
        let count = params.len();
        if arguments.len() != count {
            return Err(format!(
                "`{name}` takes {count} arguments, but has {}",
                arguments.len()
            ));
        }
        for (param, argument) in params.zip(arguments) {
            let passed = self.passed(&param.ty)?;
            let operand = self.operand(argument, passed, line);
            operands.push(operand.map_err(|why| format!("`{}` of `{name}`: {why}", param.name))?);
        }
        Ok(operands)
    }

    fn operand(&mut self, text: &str, wanted: Passed, line: usize) -> Result<Operand, String> {
        let variable = self.variables.get(text).copied();
        match (wanted, variable) {
            (Passed::Value(ty), Some(step)) => match &self.kinds[step] {
                Kind::Value(found) if *found == ty => Ok(Operand::Given(step)),
                Kind::Value(found) => Err(format!("`{text}` is of type {found}, not {ty}")),
                _ => Err(format!("`{text}` is not a value of type {ty}")),
            },
            (Passed::Value(ty), None) => match text.strip_prefix('$') {
                Some(name) if is_name(name) => self.param(name, ty),
                Some(name) => Err(format!("`${name}` is not the name of a parameter")),
                None => {
                    let value = from_wave(text, &ty).map_err(|error| error.to_string())?;
                    let packed = Packed::pack(&value, &ty).map_err(|error| error.to_string())?;
                    Ok(Operand::Constant(packed))
                }
            },
            (Passed::Own(wanted) | Passed::Borrow(wanted), None) => Err(format!(
                "`{}` is not a variable, but a `{}` is wanted",
                brief(text),
                self.resource_name(wanted)
            )),
            (wanted, Some(step)) => {
                let (Passed::Own(resource) | Passed::Borrow(resource)) = wanted else {
                    return Err(format!("`{text}` is a resource"));
                };
                self.expect_there(step)?;
                match self.kinds[step] {
                    Kind::Resource(found) if found == resource => {}
                    _ => {
                        return Err(format!(
                            "`{text}` is not a `{}`",
                            self.resource_name(resource)
                        ));
                    }
                }
                if matches!(wanted, Passed::Borrow(_)) {
                    return Ok(Operand::Given(step));
                }
                self.kinds[step] = Kind::GivenAway(line);
                Ok(Operand::GivenAway(step))
            }
        }
    }

    fn expect_there(&self, step: usize) -> Result<(), String> {
        match self.kinds[step] {
            Kind::GivenAway(line) => Err(format!(
                "what `{}` gave was passed on for good in line {line}",
                self.steps[step].name
            )),
            _ => Ok(()),
        }
    }

    /// The parameter of the script with that name.
    fn param(&mut self, name: &str, ty: Type) -> Result<Operand, String> {
        let known = self.params.iter().position(|(known, _)| known == name);
        let Some(index) = known else {
            self.params.push((name.to_owned(), ty));
            return Ok(Operand::Param(self.params.len() - 1));
        };
        let (_, known) = &self.params[index];
        if *known != ty {
            return Err(format!("`${name}` is of type {known} elsewhere, not {ty}"));
        }
        Ok(Operand::Param(index))
    }

    /// What a call of the function gives, and how that is passed on.
    fn result(&self, function: &wit_parser::Function) -> Result<(Gives, Error, Kind), String> {
        let name = plain_name(function);
        let refused = |obstacle: Obstacle| format!("the result of `{name}` {obstacle}");
        let whole = function.result.as_ref();
        let (ok, error) = match whole.map(|ty| self.sides(ty)) {
            Some(Some((ok, error))) => {
                let error = error.map(|ty| value_type(self.resolve, ty));
                (ok, Error::Of(error.transpose().map_err(refused)?))
            }
            _ => (whole, Error::Never),
        };
        let Some(ty) = ok else {
            return Ok((Gives::Nothing, error, Kind::Nothing));
        };
        Ok(match self.passed_or(ty).map_err(refused)? {
            Passed::Value(ty) => (Gives::Value(ty.clone()), error, Kind::Value(ty)),
            Passed::Own(resource) | Passed::Borrow(resource) => {
                (Gives::Resource, error, Kind::Resource(resource))
            }
        })
    }

    /// The sides of a `result`.
    fn sides(&self, ty: &'a WitType) -> Option<(Option<&'a WitType>, Option<&'a WitType>)> {
        let WitType::Id(id) = ty else { return None };
        match &self.resolve.types[*id].kind {
            TypeDefKind::Type(inner) => self.sides(inner),
            TypeDefKind::Result(sides) => Some((sides.ok.as_ref(), sides.err.as_ref())),
            _ => None,
        }
    }

    fn passed(&self, ty: &WitType) -> Result<Passed, String> {
        let passed = self.passed_or(ty);
        passed.map_err(|obstacle| format!("a parameter {obstacle}"))
    }

    fn passed_or(&self, ty: &WitType) -> Result<Passed, Obstacle> {
        if let WitType::Id(id) = ty {
            match &self.resolve.types[*id].kind {
                TypeDefKind::Type(inner) => return self.passed_or(inner),
                TypeDefKind::Handle(Handle::Own(id)) => return Ok(Passed::Own(self.root(*id))),
                TypeDefKind::Handle(Handle::Borrow(id)) => {
                    return Ok(Passed::Borrow(self.root(*id)));
                }
                _ => {}
            }
        }
        value_type(self.resolve, ty).map(Passed::Value)
    }

    /// The resource itself, wherever it is used under this name.
    fn root(&self, id: TypeId) -> TypeId {
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(WitType::Id(inner)) => self.root(*inner),
            _ => id,
        }
    }

    fn resource_name(&self, id: TypeId) -> String {
        let name = self.resolve.types[id].name.as_deref();
        in_line(name.unwrap_or("resource"))
    }

    /// The method of what a step gave.
    fn method(&self, step: usize, name: &str) -> Result<Export<'a>, String> {
        let Kind::Resource(resource) = self.kinds[step] else {
            self.expect_there(step)?;
            return Err(format!(
                "`{}` gives no resource, so that there is no `{}` to call on it",
                self.steps[step].name,
                brief(name)
            ));
        };
        let is_its = |export: &&Export<'a>| match export.function.kind {
            FunctionKind::Method(id) | FunctionKind::AsyncMethod(id) => self.root(id) == resource,
            _ => false,
        };
        let own_name = |export: &Export<'a>| {
            let name = plain_name(export.function);
            name.split_once('.').map_or(name, |(_, method)| method)
        };
        let mut named = self.named(name).filter(is_its);
        let found = named.find(|export| own_name(export) == name);
        found.cloned().ok_or_else(|| {
            let methods = self.exports.iter().filter(is_its);
            format!(
                "a `{}` has no method `{}`{}",
                self.resource_name(resource),
                brief(name),
                listed(methods.map(own_name))
            )
        })
    }

    /// The function of this name that is called on nothing.
    fn find(&self, name: &str) -> Result<Export<'a>, String> {
        let (interface, own) = match name.rsplit_once('#') {
            Some((interface, own)) => (Some(interface), own),
            None => (None, name),
        };
        let fits = |export: &&Export<'_>| {
            let is_it = export.function.name == own || plain_name(export.function) == own;
            is_it
                && interface.is_none_or(|wanted| {
                    export.interface.as_deref().is_some_and(|found| {
                        let short = found.split_once('@').map_or(found, |(path, _)| path);
                        let last = short.rsplit('/').next();
                        found == wanted || short == wanted || last == Some(wanted)
                    })
                })
        };
        let is_method = |export: &&Export<'_>| {
            matches!(
                export.function.kind,
                FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)
            )
        };
        let found: Vec<_> = self.named(own).filter(fits).collect();
        match found.as_slice() {
            [one] if is_method(one) => Err(format!(
                "`{}` is a method: call it on what makes its resource, as in `let it = …` and `it.…(…)`",
                brief(name)
            )),
            [one] => Ok((*one).clone()),
            [] => {
                let others = self.exports.iter().filter(|export| !is_method(export));
                Err(format!(
                    "there is no function `{}`{}",
                    brief(name),
                    listed(others.map(|export| plain_name(export.function)))
                ))
            }
            several => {
                let names = several
                    .iter()
                    .filter_map(|export| export.interface.as_deref());
                Err(format!(
                    "several interfaces have a function `{}`{}; write `INTERFACE#{}`",
                    brief(name),
                    listed(names),
                    brief(own)
                ))
            }
        }
    }

    /// The function that the script is.
    fn function(mut self) -> Result<Function, String> {
        let Some(last) = self.steps.last_mut() else {
            return Err("it calls nothing".to_owned());
        };
        let ok = match &last.gives {
            Gives::Nothing => None,
            Gives::Value(ty) => Some(ty.clone()),
            Gives::Resource => {
                return Err(format!(
                    "its last call, `{}`, gives a resource, which cannot leave the instance it lives in: call a method on it",
                    last.name
                ));
            }
        };
        let result = match &last.error {
            Error::Of(error) => Some(Type::result(ok, error.clone())),
            Error::Never => ok,
        };
        Ok(Function {
            name: NAME.to_owned(),
            params: self.params,
            result,
            binding: Binding::Script(Arc::new(Steps(self.steps))),
            declared: None,
            is_fed: false,
            elements: None,
        })
    }
}

/// What is passed on for good is used for nothing else in the same call.
fn expect_apart(operands: &[Operand]) -> Result<(), String> {
    let gone = |step: usize| {
        let mut operands = operands.iter();
        operands.any(|operand| matches!(operand, Operand::GivenAway(one) if *one == step))
    };
    let mut used = operands.iter();
    if used.any(|operand| matches!(operand, Operand::Given(step) if gone(*step))) {
        return Err("a resource is passed on for good and used in the same call".to_owned());
    }
    Ok(())
}

/// The name without what WIT puts before those of resources: `[method]codec.encode` is `codec.encode`.
fn plain_name(function: &wit_parser::Function) -> &str {
    let name = function.name.as_str();
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, name)) => name,
        None => name,
    }
}

/// Some names that there are, for a message.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let mut text = String::new();
    for (place, name) in names.enumerate() {
        match place {
            0 => text.push_str("; there is"),
            MOST => {
                text.push_str(", …");
                break;
            }
            _ => text.push(','),
        }
        let _ = write!(text, " `{}`", brief(name));
    }
    text
}
