//! In a worker: what comes from its engine, and the functions of the embedder's that only the engine's process has.

use super::call_form;
use super::form::HOST_REPLY;
use super::serve::MessageWriter;
use super::{LARGEST, WorkerError};
use crate::spin;
use rwasm_boundary::ring::{Received, Receiver};
use rwasm_sandbox::lock::lock;
use rwasm_sandbox::sandbox::{Carried, HostCarrier, HostFailure};
use rwasm_value::value::{Packed, Type};
use std::future::Future;
use std::pin::Pin;
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long is waited for an answer before the time and the cancellation of the task are looked at.
const TURN: Duration = Duration::from_millis(2);

/// What comes from the engine. One thread at a time reads it: that of the worker's engine.
pub(super) struct Inbox {
    receiver: Receiver,
    message: Vec<u8>,
    /// The number of the last call.
    calls: u64,
    /// The call that waits for its answer. There is one at a time, as the engine answers one after the other: neither side
    /// writes while the other waits for room.
    open: Option<u64>,
}

impl Inbox {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            message: Vec::new(),
            calls: 0,
            open: None,
        }
    }

    /// The next message that is not an answer to a call: nobody waits for one any more. It is looked for that long before
    /// this thread sleeps.
    pub(super) fn next(&mut self, spin: Duration) -> Result<Vec<u8>, WorkerError> {
        self.receiver.set_spin(spin);
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

    /// Waits a turn for the answer to a call. One to an earlier call, which was dropped, is of no use.
    fn answer(&mut self, call: u64) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        let until = Instant::now() + TURN;
        self.receiver.set_spin(spin::ANSWER);
        match self.receiver.receive(LARGEST, &mut message, Some(until)) {
            Ok(Received::Nothing) => None,
            Ok(Received::Message) => match call_form::answered(&message) {
                Some(answered) => (answered == call).then_some(message),
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
        let number = {
            let mut inbox = lock(&self.inbox);
            inbox.calls += 1;
            inbox.calls
        };
        Box::pin(CarriedCall {
            number,
            message: Some(call_form::call(number, function, task, &arguments)),
            result,
            inbox: Arc::clone(&self.inbox),
            writer: Arc::clone(&self.writer),
        })
    }
}

/// A call on its way to the engine's process and back.
struct CarriedCall {
    number: u64,
    /// What is to be sent; none once it is.
    message: Option<Vec<u8>>,
    result: Option<Type>,
    inbox: Arc<Mutex<Inbox>>,
    writer: Arc<Mutex<MessageWriter>>,
}

impl Future for CarriedCall {
    type Output = Result<Option<Packed>, HostFailure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut inbox = lock(&this.inbox);
        if let Some(message) = this.message.take_if(|_| inbox.open.is_none()) {
            inbox.open = Some(this.number);
            lock(&this.writer).tell(&[&message], true);
        }
        let is_open = inbox.open == Some(this.number);
        let answer = is_open.then(|| inbox.answer(this.number)).flatten();
        let Some(answer) = answer else {
            // Whoever is open waits a turn, so that this does not spin.
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        inbox.open = None;
        let read = call_form::read_answer(&answer, this.result.as_ref());
        Poll::Ready(read.unwrap_or_else(|error| Err(HostFailure::Unfit(error.to_string()))))
    }
}

impl Drop for CarriedCall {
    fn drop(&mut self) {
        let mut inbox = lock(&self.inbox);
        inbox.open.take_if(|open| *open == self.number);
    }
}
