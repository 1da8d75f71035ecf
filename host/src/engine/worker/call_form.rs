//! Calls of the embedder's functions, and their answers, as an engine and its worker pass them.

use super::form::{HOST_CALL, HOST_REPLY, message};
use crate::wire::WireError;
use rwasm_sandbox::sandbox::HostFailure;
use rwasm_value::value::{Malformed, Packed, Reader, Type};

/// How an answer begins: what became of the call.
const NOTHING: u8 = 0;
const VALUE: u8 = 1;
const FAILED: u8 = 2;
const UNFIT: u8 = 3;
const PANICKED: u8 = 4;

/// What stands before the arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallHead {
    /// Its number, by which it is answered.
    pub(super) call: u64,
    /// The place of the function among those that the module imports.
    pub(super) function: usize,
    /// The index of the task.
    pub(super) task: u64,
    pub(super) arguments: usize,
}

impl CallHead {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            call: from.u64_leb()?,
            function: usize::try_from(from.u64_leb()?).unwrap_or(usize::MAX),
            task: from.u64_leb()?,
            arguments: from.count(1)?,
        })
    }
}

/// A call.
pub(super) fn call(call: u64, function: usize, task: u64, arguments: &[Packed]) -> Vec<u8> {
    let mut out = message(HOST_CALL);
    out.put_u64_leb(call);
    out.put_len(function);
    out.put_u64_leb(task);
    out.put_len(arguments.len());
    for argument in arguments {
        out.put_len(argument.wire_len());
        argument.put_wire(&mut out);
    }
    out.into_vec()
}

/// The answer to a call.
pub(super) fn answer(call: u64, answer: &Result<Option<Packed>, HostFailure>) -> Vec<u8> {
    let mut out = message(HOST_REPLY);
    out.put_u64_leb(call);
    match answer {
        Ok(None) => out.put_u8(NOTHING),
        Ok(Some(value)) => {
            out.put_u8(VALUE);
            out.put_len(value.wire_len());
            value.put_wire(&mut out);
        }
        Err(failure) => {
            let (kind, text) = match failure {
                HostFailure::Failed(text) => (FAILED, text),
                HostFailure::Unfit(text) => (UNFIT, text),
                HostFailure::Panicked(text) => (PANICKED, text),
            };
            out.put_u8(kind);
            out.put_bytes(text.as_bytes());
        }
    }
    out.into_vec()
}

/// The number of the call that a message answers, if it answers one.
pub(super) fn answered(message: &[u8]) -> Option<u64> {
    let (kind, body) = message.split_first()?;
    (*kind == HOST_REPLY)
        .then(|| Reader::new(body).u64_leb().ok())
        .flatten()
}

/// Reads the answer to a call whose result has type `ty`.
pub(super) fn read_answer(
    message: &[u8],
    ty: Option<&Type>,
) -> Result<Result<Option<Packed>, HostFailure>, WireError> {
    let mut from = Reader::new(message.get(1..).unwrap_or_default());
    from.u64_leb()?;
    let kind = from.u8()?;
    Ok(match (kind, ty) {
        (NOTHING, _) => Ok(None),
        (VALUE, Some(ty)) => Ok(Some(Packed::from_wire(ty.clone(), from.byte_string()?)?)),
        (FAILED, _) => Err(HostFailure::Failed(from.str()?.to_owned())),
        (UNFIT, _) => Err(HostFailure::Unfit(from.str()?.to_owned())),
        (PANICKED, _) => Err(HostFailure::Panicked(from.str()?.to_owned())),
        _ => return Err(Malformed::BadCase.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rwasm_value::value::Value;

    #[test]
    fn calls_and_answers_are_read_as_they_were_written() {
        let ty = Type::String;
        let text = Packed::pack(&Value::from("text"), &ty).expect("a string is one");
        let message = call(3, 1, 9, &[text.clone(), text.clone()]);
        let mut from = Reader::new(&message[1..]);
        let head = CallHead {
            call: 3,
            function: 1,
            task: 9,
            arguments: 2,
        };
        assert_eq!(CallHead::read(&mut from), Ok(head));
        let read = Packed::from_wire(ty.clone(), from.byte_string().expect("it is there"));
        assert_eq!(read, Ok(text.clone()));
        for given in [
            Ok(None),
            Ok(Some(text)),
            Err(HostFailure::Failed("no".to_owned())),
            Err(HostFailure::Unfit("other".to_owned())),
            Err(HostFailure::Panicked("oh".to_owned())),
        ] {
            let message = answer(7, &given);
            assert_eq!(answered(&message), Some(7));
            let read = read_answer(&message, Some(&ty)).expect("it is one");
            assert_eq!(read, given);
            for length in 1..message.len() {
                assert!(
                    read_answer(&message[..length], Some(&ty)).is_err(),
                    "{given:?}"
                );
            }
        }
        assert_eq!(answered(&[]), None);
        assert_eq!(answered(&[HOST_CALL, 7]), None);
    }
}
