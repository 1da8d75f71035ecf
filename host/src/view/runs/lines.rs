//! Lines of text as argument lists.

use super::pieces::{Given, refused};
use rwasm_sandbox::input::InputError;
use rwasm_sandbox::limits::Limits;
use rwasm_sandbox::outcome::{ArgumentSource, Failure, FailureCode};
use rwasm_sandbox::sandbox::Callable;
use rwasm_value::format::{arguments_from_line, arguments_of_core};
use rwasm_value::value::{ArgumentError, Packed, PackedArgument, Type};
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

/// The bytes that are read at a time.
const BUFFER: usize = 64 << 10;

/// The argument lists in a text, one a line. An empty last line is none.
pub(crate) struct Lines<I> {
    name: Arc<str>,
    input: BufReader<I>,
    params: Vec<(String, Type)>,
    /// Whether the module declares its types.
    has_wit: bool,
    /// The function, as WIT.
    function: String,
    /// The bytes of a line, at most.
    longest: u64,
    line: u64,
    read: u64,
}

impl<I: Read> Lines<I> {
    pub(crate) fn new<P, R>(
        function: &Callable<P, R>,
        name: &str,
        input: I,
        limits: &Limits,
    ) -> Self {
        Self {
            name: name.into(),
            input: BufReader::with_capacity(BUFFER, input),
            params: function.signature().params.clone(),
            has_wit: function.module().has_wit(),
            function: function.signature().brief().to_string(),
            longest: limits.input.bytes(),
            line: 0,
            read: 0,
        }
    }

    /// The next line without its end; none at the end of the input.
    fn next_line(&mut self) -> std::io::Result<Option<Result<Vec<u8>, Failure>>> {
        let mut line = Vec::new();
        let most = self.longest.saturating_add(2);
        let read = (&mut self.input).take(most).read_until(b'\n', &mut line)? as u64;
        self.read += read;
        if read == 0 {
            return Ok(None);
        }
        let is_whole = line.ends_with(b"\n");
        if is_whole {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        if line.len() as u64 <= self.longest {
            return Ok(Some(Ok(line)));
        }
        if !is_whole {
            // The rest of it is read past, not kept.
            self.read += self.input.skip_until(b'\n')? as u64;
        }
        let message = format!(
            "the line is longer than the input limit of a task, {}",
            crate::ByteSize::new(self.longest)
        );
        Ok(Some(Err(Failure::new(FailureCode::InputLimit, message))))
    }

    fn arguments(&self, line: Vec<u8>) -> Result<Vec<PackedArgument>, Failure> {
        let values = if let [(_, ty)] = self.params.as_slice()
            && ty.is_bytes()
        {
            vec![line.into()]
        } else {
            let line = String::from_utf8(line).map_err(|error| {
                let message = format!(
                    "`{}`: the line is not UTF-8: {}",
                    self.function,
                    error.utf8_error()
                );
                Failure::new(FailureCode::BadInput, message)
            })?;
            let parse = |params: &[(String, Type)]| arguments_from_line(params, &line);
            let values = if self.has_wit {
                parse(&self.params)
            } else {
                arguments_of_core(&self.params, parse)
            };
            values.map_err(|error| refused(&self.function, &error))?
        };
        let packed = values.iter().zip(&self.params).enumerate();
        let packed = packed.map(|(index, (value, (name, ty)))| {
            let value = Packed::pack(value, ty).map_err(|error| {
                refused(&self.function, &ArgumentError::packing(index, name, error))
            })?;
            Ok(PackedArgument::Value(value))
        });
        packed.collect()
    }
}

impl<I: Read> Iterator for Lines<I> {
    type Item = Result<Given, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.next_line() {
            Ok(line) => line?,
            Err(source) => {
                return Some(Err(InputError::Read {
                    name: self.name.to_string(),
                    offset: self.read,
                    source,
                }));
            }
        };
        self.line += 1;
        Some(Ok(Given {
            source: ArgumentSource::Line {
                input: Arc::clone(&self.name),
                line: self.line,
            },
            arguments: line.and_then(|line| self.arguments(line)),
        }))
    }
}
