//! In a worker: what comes from its engine, and the functions of the embedder's that only the engine's process has.

use super::call_form;
use super::form::HOST_REPLY;
use super::serve::MessageWriter;
use super::{LARGEST, WorkerError};
use rwasm_boundary::ring::{Received, Receiver};
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::sandbox::{Carried, HostCarrier, HostFailure};
use rwasm_value::value::{Packed, Type};
use std::collections::HashMap;
use std::future::poll_fn;
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long is waited for an answer before the time and the cancellation of the task are looked at.
const TURN: Duration = Duration::from_millis(2);

/// What comes from the engine. One thread at a time reads it: that of the worker's engine.
pub(super) struct Inbox {
    receiver: Receiver,
    message: Vec<u8>,
    /// The number of the last call.
    calls: u64,
    /// Answers to other calls than the one that waited.
    answers: HashMap<u64, Vec<u8>>,
}

impl Inbox {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            message: Vec::new(),
            calls: 0,
            answers: HashMap::new(),
        }
    }

    /// The next message that is not an answer to a call: nobody waits for one any more.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, WorkerError> {
        self.answers.clear();
        let mut message = std::mem::take(&mut self.message);
        loop {
            let received = self.receiver.receive(LARGEST, &mut message, None)?;
            if received == Received::Message && message.first() != Some(&HOST_REPLY) {
                return Ok(message);
            }
        }
    }

    /// Gives back the memory of a message that was read.
    pub(super) fn put_back(&mut self, message: Vec<u8>) {
        self.message = message;
    }

    /// Waits a turn for the answer to a call.
    fn answer(&mut self, call: u64) -> Option<Vec<u8>> {
        if let Some(answer) = self.answers.remove(&call) {
            return Some(answer);
        }
        let mut message = Vec::new();
        let until = Instant::now() + TURN;
        let received = self.receiver.receive(LARGEST, &mut message, Some(until));
        match received {
            Ok(Received::Nothing) => None,
            Ok(Received::Message) => match call_form::answered(&message) {
                Some(answered) if answered == call => Some(message),
                Some(answered) => {
                    self.answers.insert(answered, message);
                    None
                }
                // Nothing else comes while tasks run.
                None => exit(1),
            },
            Err(_) => exit(1),
        }
    }
}

/// See [`HostCarrier`]: asks the engine's process.
pub(super) struct EngineCarrier {
    pub(super) inbox: Arc<Mutex<Inbox>>,
    pub(super) writer: Arc<Mutex<MessageWriter>>,
}

impl HostCarrier for EngineCarrier {
    fn call(
        &self,
        function: usize,
        task: u64,
        arguments: Vec<Packed>,
        result: Option<Type>,
    ) -> Carried {
        let inbox = Arc::clone(&self.inbox);
        let call = {
            let mut inbox = lock(&inbox);
            inbox.calls += 1;
            inbox.calls
        };
        let message = call_form::call(call, function, task, &arguments);
        lock(&self.writer).tell(&[&message], true);
        Box::pin(poll_fn(move |context| {
            let Some(answer) = lock(&inbox).answer(call) else {
                context.waker().wake_by_ref();
                return Poll::Pending;
            };
            let read = call_form::read_answer(&answer, result.as_ref());
            Poll::Ready(read.unwrap_or_else(|error| Err(HostFailure::Unfit(error.to_string()))))
        }))
    }
}
