//! Calls the steps of a script in one instance. What a step gives is kept until the script ends: values in packed form, which
//! the output limit bounds together, and resources as handles.

use super::component::{arguments, called, callee};
use super::runner::Stop;
use super::{failure, text};
use crate::outcome::{Failure, FailureCode};
use crate::sandbox::abi::val::{self, WriteError};
use crate::sandbox::module::{Binding, Function, Gives, Operand, Step, StepError};
use crate::sandbox::world::request::{Arguments, Request};
use crate::sandbox::world::state::GuestState;
use rwasm_value::value::codec::{Reader, Writer};
use rwasm_value::value::{Packed, Type};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, ResourceAny, Val};

/// What a step gave.
enum Given {
    Nothing,
    Value(Packed),
    Resource(ResourceAny),
}

/// Calls the script, and returns the packed result of its last step, or the failure that an error of a step before it is.
pub(super) async fn call(
    store: &mut Store<GuestState>,
    instance: Instance,
    exports: &[ComponentExportIndex],
    function: &Function,
    request: &Request<'_>,
) -> Result<Result<Vec<u8>, Failure>, Stop> {
    let Binding::Script(steps) = &function.binding else {
        let message = format!("`{}` is not a script", function.name);
        return Err(Failure::new(FailureCode::Internal, message).into());
    };
    let params = arguments(function, request)?;
    let mut kept = Kept {
        given: Vec::with_capacity(exports.len()),
        left: request.setting.limits.output.as_usize(),
        sizes: sizes(request),
        request,
    };
    let mut returned = Ok(Vec::new());
    for (place, (step, export)) in steps.0.iter().zip(exports).enumerate() {
        let callee = callee(store, instance, export, &step.name)?;
        let operands = kept.operands(step, &params)?;
        let has_result =
            matches!(step.error, StepError::Of(_)) || !matches!(step.gives, Gives::Nothing);
        let mut results = [Val::Bool(false)];
        let results = &mut results[..usize::from(has_result)];
        let ended = callee.call_async(&mut *store, &operands, results).await;
        ended.map_err(|error| called(error, function))?;
        let result = results.first();
        if place + 1 == exports.len() {
            if let (Some(result), Some(ty)) = (result, &function.result) {
                returned = Ok(kept.pack(step, result, ty)?.payload().to_vec());
            }
        } else if let Err(failure) = kept.keep(step, result)? {
            returned = Err(failure);
            break;
        }
    }
    // The last made are dropped first, as in a language with scopes.
    for given in kept.given.into_iter().rev() {
        if let Given::Resource(resource) = given
            && let Err(error) = resource.resource_drop_async(&mut *store).await
        {
            // What the script says comes first. Its instance is not used again.
            return Err(match returned {
                Err(failure) => failure.into(),
                Ok(_) => called(error, function),
            });
        }
    }
    Ok(returned)
}

struct Kept<'a> {
    /// One for each step that is done.
    given: Vec<Given>,
    /// How many bytes values may still take.
    left: usize,
    /// The size of each parameter.
    sizes: Vec<usize>,
    request: &'a Request<'a>,
}

/// The sizes of the script's parameters, in packed form.
fn sizes(request: &Request<'_>) -> Vec<usize> {
    match request.arguments {
        Arguments::Chunk(chunk) => {
            let size = chunk.len().unwrap_or_default();
            vec![usize::try_from(size).unwrap_or(usize::MAX)]
        }
        Arguments::Values(values) => values.iter().map(Packed::len).collect(),
        Arguments::Parts(parts) => vec![parts.iter().map(Packed::len).sum()],
    }
}

impl Kept<'_> {
    /// A value that is used several times is passed several times, in a form that takes more memory than the packed one:
    /// what one call is passed counts as the input of a task does.
    fn expect_within_input(&self, step: &Step) -> Result<(), Stop> {
        let sizes = step.arguments.iter().map(|operand| match operand {
            Operand::Constant(packed) => packed.len(),
            Operand::Param(place) => self.sizes.get(*place).copied().unwrap_or_default(),
            Operand::Given(place) | Operand::GivenAway(place) => match self.given.get(*place) {
                Some(Given::Value(packed)) => packed.len(),
                _ => 0,
            },
        });
        let size = sizes.fold(0, usize::saturating_add) as u64;
        let limits = &self.request.setting.limits;
        if size > limits.input.bytes() {
            return Err(failure::input_limit(size, limits).into());
        }
        Ok(())
    }

    fn operands(&mut self, step: &Step, params: &[Val]) -> Result<Vec<Val>, Stop> {
        self.expect_within_input(step)?;
        let odd = || {
            let message = format!("an argument of `{}` is not there", step.name);
            Failure::new(FailureCode::Internal, message)
        };
        let read = |packed: &Packed| {
            let read = val::read(&mut Reader::new(packed.payload()), packed.ty());
            read.map_err(|_| odd())
        };
        let operands = step.arguments.iter().map(|operand| {
            Ok(match operand {
                Operand::Constant(packed) => read(packed)?,
                Operand::Param(place) => params.get(*place).cloned().ok_or_else(odd)?,
                Operand::Given(place) => match self.given.get(*place).ok_or_else(odd)? {
                    Given::Value(packed) => read(packed)?,
                    Given::Resource(resource) => Val::Resource(*resource),
                    Given::Nothing => return Err(odd().into()),
                },
                Operand::GivenAway(place) => {
                    let given = self.given.get_mut(*place).ok_or_else(odd)?;
                    match std::mem::replace(given, Given::Nothing) {
                        Given::Resource(resource) => Val::Resource(resource),
                        _ => return Err(odd().into()),
                    }
                }
            })
        });
        operands.collect()
    }

    /// Keeps what a step gave. The inner error is one that it returned.
    fn keep(&mut self, step: &Step, result: Option<&Val>) -> Result<Result<(), Failure>, Stop> {
        let ok = match (&step.error, result) {
            (StepError::Of(error), Some(Val::Result(Err(found)))) => {
                let unit = Type::tuple([]);
                let packed = match (found, error) {
                    (Some(found), Some(ty)) => self.pack(step, found, ty)?,
                    _ => Packed::from_payload(unit, bytes::Bytes::new()),
                };
                return Ok(Err(text::failed(&step.name, &packed)));
            }
            (StepError::Of(_), Some(Val::Result(Ok(ok)))) => ok.as_deref(),
            (_, result) => result,
        };
        let given = match (&step.gives, ok) {
            (Gives::Nothing, _) => Given::Nothing,
            (Gives::Value(ty), Some(val)) => Given::Value(self.pack(step, val, ty)?),
            (Gives::Resource, Some(Val::Resource(resource))) => Given::Resource(*resource),
            _ => return Err(mismatch(step).into()),
        };
        self.given.push(given);
        Ok(Ok(()))
    }

    fn pack(&mut self, step: &Step, val: &Val, ty: &Type) -> Result<Packed, Stop> {
        let mut out = Writer::default();
        val::write(&mut out, val, ty, self.left).map_err(|error| match error {
            WriteError::TooLarge => failure::output_limit(&self.request.setting.limits),
            WriteError::Type => mismatch(step),
        })?;
        let payload = out.into_vec();
        self.left = self.left.saturating_sub(payload.len());
        Ok(Packed::from_payload(ty.clone(), payload.into()))
    }
}

fn mismatch(step: &Step) -> Failure {
    let message = format!("the result of `{}` does not match its type", step.name);
    Failure::new(FailureCode::BadOutput, message)
}
