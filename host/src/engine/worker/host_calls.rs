//! Calls of the embedder's functions, which come from a worker and are answered here: on the engine's thread, where they
//! are without a boundary, too.

use super::call_form;
use super::listen::{Listening, Progress, RunError};
use super::process::{LOOK, Process, WorkerError};
use crate::spin;
use rwasm_value::value::{Packed, Reader};
use std::cell::OnceCell;
use std::io;
use std::pin::pin;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// The runtime of an engine on which the embedder's functions run; made for the first call.
#[derive(Default)]
pub(super) struct HostRuntime(OnceCell<Runtime>);

impl HostRuntime {
    fn get(&self) -> io::Result<&Runtime> {
        if let Some(runtime) = self.0.get() {
            return Ok(runtime);
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(self.0.get_or_init(|| runtime))
    }
}

impl Drop for HostRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // What blocks in it cannot be ended.
            runtime.shutdown_background();
        }
    }
}

impl Listening<'_> {
    /// Calls the function that a message of the worker's asks for, and answers. A call whose task is stopped or over its time
    /// is dropped without an answer: the worker ends the task.
    pub(super) fn serve_call(
        &mut self,
        process: &mut Process,
        body: &[u8],
        course: &mut Progress,
    ) -> Result<(), RunError> {
        self.look(process, course)?;
        let dispatch = self.dispatch;
        let mut from = Reader::new(body);
        let head = call_form::CallHead::read(&mut from).map_err(WorkerError::from)?;
        let running = dispatch.tasks.get(course.first + course.answered);
        let imports = dispatch.program.portable().map(|portable| &portable.host);
        let import = imports.and_then(|imports| imports.get(head.function));
        let (Some(running), Some(import)) = (running, import) else {
            return Err(WorkerError("it called what its task does not have".to_owned()).into());
        };
        if running.index != head.task || head.arguments != import.params.len() {
            return Err(WorkerError("it called a function in another way".to_owned()).into());
        }
        let arguments = import.params.iter().map(|ty| {
            let wire = from.byte_string()?;
            Packed::from_wire(ty.clone(), wire).map_err(WorkerError::from)
        });
        let arguments = arguments.collect::<Result<Vec<_>, WorkerError>>()?;
        let caller = dispatch.setting.caller.clone();
        let call = import.call(dispatch.told(self.engine), head.task, caller, arguments);
        let runtime = self.runtime.get().map_err(WorkerError::from)?;
        let answer = runtime.block_on(async {
            let mut call = pin!(call);
            loop {
                if let Ok(answer) = timeout(LOOK, call.as_mut()).await {
                    return Ok(Some(answer));
                }
                self.look(process, course)?;
                if dispatch.cancel.is_wanted() || self.is_time_up() {
                    return Ok::<_, RunError>(None);
                }
            }
        })?;
        if let Some(answer) = answer {
            let message = call_form::answer(head.call, &answer);
            process.send_while(&[&message], |process| self.look(process, course))?;
            process.flush();
            // It goes on at once, and may soon ask again.
            process.receiver.set_spin(spin::ANSWER);
        }
        Ok(())
    }
}
