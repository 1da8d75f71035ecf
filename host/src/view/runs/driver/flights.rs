//! Dispatches in flight: how tasks are handed over, and how they are stopped.

use super::Driver;
use crate::dispatch::{Dispatch, DispatchedTask, TaskInput};
use crate::job::{Delivery, HandedOver, TaskId, Work};
use crate::merge::tree::Shape;
use crate::placement::{Eligible, Stage};
use crate::view::runs::ending::Part;
use crate::view::runs::pieces::Piece;
use rwasm_sandbox::cancel::Cancel;
use rwasm_sandbox::element::ElementSink;
use rwasm_sandbox::note::Listener;
use rwasm_sandbox::outcome::{ArgumentSource, FailureCode, Origin};
use rwasm_sandbox::sandbox::Arguments;
use rwasm_value::ids::DispatchId;
use rwasm_value::value::Packed;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// A dispatch that is under way.
pub(super) struct Flight {
    pub(super) tasks: Vec<(TaskId, Origin)>,
    pub(super) is_merge: bool,
    pub(super) unanswered: usize,
    cancel: Cancel,
    /// None once it is over.
    dispatch: Weak<Dispatch>,
}

impl Flight {
    /// Stops it where it runs. One that no engine has begun is answered at once: it may be with an
    /// engine, behind something that takes long.
    fn stop(&self) {
        self.cancel.cancel();
        if let Some(dispatch) = self.dispatch.upgrade()
            && dispatch.expire()
        {
            dispatch.cancel_rest(None);
        }
    }

    /// The tasks that have no answer yet.
    fn left(&self) -> &[(TaskId, Origin)] {
        &self.tasks[self.tasks.len() - self.unanswered..]
    }
}

/// All dispatches of a job that are in flight.
#[derive(Default)]
pub(super) struct Flights(pub(super) HashMap<DispatchId, Flight>);

impl Flights {
    pub(super) fn stop_all(&self) {
        self.0.values().for_each(Flight::stop);
    }

    /// Stops the dispatches that nothing else needs any more.
    pub(super) fn stop_tasks(&self, tasks: &[TaskId]) {
        let unwanted: HashSet<&TaskId> = tasks.iter().collect();
        for flight in self.0.values() {
            if flight.left().iter().all(|(id, _)| unwanted.contains(id)) {
                flight.stop();
            }
        }
    }
}

impl Driver {
    /// Takes a dispatch back that no engine has begun, and fails its tasks.
    pub(super) fn expire(&self, id: DispatchId) {
        let flight = self.flights.0.get(&id);
        if let Some(dispatch) = flight.and_then(|flight| flight.dispatch.upgrade())
            && dispatch.expire()
        {
            let message = "it waited longer than its time in the queue";
            dispatch.fail_rest(None, FailureCode::Timeout, message);
            self.context.backend.cancel_dispatch(id);
        }
    }

    /// Hands tasks to the backend.
    pub(super) fn dispatch(&mut self, hand_over: HandedOver<Piece, Part>) {
        let context = &self.context;
        let mut tasks = Vec::with_capacity(hand_over.tasks.len());
        let mut flying = Vec::with_capacity(hand_over.tasks.len());
        let mut is_merge = false;
        let mut parts = Vec::new();
        for task in hand_over.tasks {
            if let Work::Reduce(_, merged) = &task.work {
                is_merge = true;
                if context.preset.observer.is_some() {
                    parts.extend(merged.iter().map(|part| part.made_by));
                }
            }
            let (made, origin) = self.task(task.work, task.attempt);
            tasks.push(made);
            flying.push((task.id, origin));
        }
        let callee = match (&context.plan.reduce, is_merge) {
            (Some(reduce), true) => reduce.function,
            _ => context.plan.map,
        };
        let id = DispatchId(context.dispatch_ids.fetch_add(1, Ordering::Relaxed));
        // Over when it is over for all of them; an engine looks at each by itself.
        if let Some(end) = tasks.iter().map(|task| task.start_by).max().flatten() {
            self.expiries.set(end, id);
        }
        let reply = Arc::clone(&context.reply);
        let mut dispatch = context.preset.dispatch(id, callee, tasks, reply);
        dispatch.eligible = match hand_over.target {
            Some(target) => Eligible::One(target),
            None => self.eligible.clone(),
        };
        if is_merge {
            dispatch.stage = Stage::Reduce;
        }
        dispatch.is_merged = !context.plan.gives_outcomes();
        dispatch.parts = parts;
        dispatch.pushed.clone_from(&context.pushed);
        dispatch.listener = Some(Arc::clone(&context.slot) as Arc<dyn Listener>);
        if let Some(elements) = context.elements.as_ref().filter(|_| !is_merge) {
            dispatch.elements = Some(Arc::clone(elements) as Arc<dyn ElementSink>);
        }
        let dispatch = Arc::new(dispatch);
        self.stats.dispatches += 1;
        let flight = Flight {
            unanswered: flying.len(),
            tasks: flying,
            is_merge,
            cancel: dispatch.cancel.clone(),
            dispatch: Arc::downgrade(&dispatch),
        };
        self.flights.0.insert(id, flight);
        context.backend.submit(dispatch);
    }

    /// Returns one task in the form that engines take, with its input.
    fn task(&self, work: Work<Piece, Part>, attempt: u32) -> (DispatchedTask, Origin) {
        let (input, origin, start_by) = match work {
            Work::Map(_, piece) => {
                let origin = piece.origin();
                let start_by = if attempt > 1 {
                    self.context.start_by()
                } else {
                    piece.start_by
                };
                (piece.input, origin, start_by)
            }
            Work::Reduce(node, parts) => {
                let parts = parts.into_iter().map(|part| part.value).collect();
                let origin = Origin {
                    index: node.index,
                    source: ArgumentSource::Results,
                };
                (TaskInput::Ready(self.merge_arguments(parts)), origin, None)
            }
        };
        let task = DispatchedTask {
            input,
            index: origin.index,
            attempt,
            start_by,
        };
        (task, origin)
    }

    fn merge_arguments(&self, parts: Vec<Packed>) -> Arguments {
        match self.context.plan.delivery() {
            Delivery::Reduced(Shape::Pair) => Arguments::Values(parts),
            _ => Arguments::Parts(parts),
        }
    }
}
