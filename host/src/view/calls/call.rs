//! The submission of a call: its arguments, its room in the queue, and the slot of its outcome.

use crate::dispatch::{Answer, CALLS, DispatchPreset, Pushed, Reply, TaskInput};
use crate::observe::ObservedKind;
use crate::placement::Eligible;
use crate::view::handles::task::{Call, Control};
use crate::view::runs::submit::SubmitError;
use crate::view::shared::admission::{NoRoom, Permit};
use crate::view::shared::core::{Core, Submitted};
use crate::view::shared::desk::{Entrant, Work};
use crate::view::shared::maker::{Maker, Prepared};
use crate::view::shared::settings::{TaskSettings, ViewSettings};
use crate::view::shared::slot::{Done, Slot};
use crate::view::shared::tenant::{TenantRoom, TenantState};
use rwasm_sandbox::element::ElementSink;
use rwasm_sandbox::sandbox::{Arguments, Callable, Program, Setting};
use rwasm_value::ids::EngineId;
use rwasm_value::value::{PackedArgument, Params};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Instant, SystemTime};

/// Fills a call's slot with the answer to its one task.
struct SlotReply(Arc<Slot>);

impl Reply for SlotReply {
    fn answer(&self, answer: Answer) {
        for outcome in answer.outcomes {
            self.0.fill(Done::call(outcome));
        }
    }
}

/// Arguments on their way into a call, and who reads along what comes out of it.
pub(crate) struct Arguing {
    arguments: Vec<PackedArgument>,
    pub(crate) bytes: u64,
    pub(crate) elements: Option<Arc<dyn ElementSink>>,
}

impl Arguing {
    pub(crate) fn new<P: Params, R>(
        function: &Callable<P, R>,
        arguments: P::At<'_>,
    ) -> Result<Self, SubmitError> {
        let arguments = function.pack(arguments);
        let arguments = arguments.map_err(|error| SubmitError::Arguments {
            function: function.signature().to_string().into(),
            error: Box::new(error),
        })?;
        let size = |argument: &PackedArgument| match argument {
            PackedArgument::Value(value) => value.len() as u64,
            PackedArgument::Reference { .. } => 0,
        };
        Ok(Self {
            bytes: arguments.iter().map(size).sum(),
            arguments,
            elements: None,
        })
    }

    pub(crate) fn names_values(&self) -> bool {
        let is_reference = |one: &PackedArgument| matches!(one, PackedArgument::Reference { .. });
        self.arguments.iter().any(is_reference)
    }

    pub(crate) fn input(&self) -> TaskInput {
        let value = |argument: &PackedArgument| match argument {
            PackedArgument::Value(value) => Some(value.clone()),
            PackedArgument::Reference { .. } => None,
        };
        match self.arguments.iter().map(value).collect() {
            Some(values) => TaskInput::Ready(Arguments::Values(values)),
            None => TaskInput::Named(self.arguments.clone()),
        }
    }
}

impl Core {
    /// What calls of `function` have in common. Its module is made ready on this thread if need be.
    pub(crate) fn maker<P, R>(
        &self,
        settings: &ViewSettings,
        function: &Callable<P, R>,
    ) -> Result<Maker, SubmitError> {
        self.check_open(&settings.tenant)?;
        let setting = settings.setting(self)?;
        let program = self.program(&settings.tenant, function.module(), setting)?;
        Ok(self.maker_of(settings, function, setting, program))
    }

    /// The same for futures: the module is made ready on a thread of its own if need be.
    pub(crate) async fn maker_elsewhere<P, R>(
        self: &Arc<Self>,
        settings: &ViewSettings,
        function: &Callable<P, R>,
    ) -> Result<Maker, SubmitError> {
        self.check_open(&settings.tenant)?;
        let setting = settings.setting(self)?;
        let variant = self.variant(setting);
        let (tenant, module) = (&settings.tenant, function.module());
        let program = self
            .made_ready_elsewhere(tenant, module, variant, &setting.limits)
            .await?;
        Ok(self.maker_of(settings, function, setting, program))
    }

    fn maker_of<P, R>(
        &self,
        settings: &ViewSettings,
        function: &Callable<P, R>,
        setting: &Arc<Setting>,
        program: Arc<Program>,
    ) -> Maker {
        Maker {
            backend: Arc::clone(&self.backend),
            dispatch_ids: Arc::clone(&self.dispatch_ids),
            callee: function.callee(),
            preset: DispatchPreset {
                job: CALLS,
                account: Arc::clone(&settings.tenant.account),
                priority: settings.task.priority,
                program,
                setting: Arc::clone(setting),
                reuse: settings.task.reuse,
                owner: settings.owner.clone(),
                span: tracing::Span::current(),
                observer: self.events.observer().cloned(),
            },
        }
    }

    /// Whether the tenant may submit anything.
    pub(crate) fn check_open(&self, tenant: &TenantState) -> Result<(), SubmitError> {
        if self.is_closed() {
            return Err(SubmitError::ShutDown);
        }
        if tenant.account.is_closed() {
            return Err(SubmitError::TenantClosed {
                tenant: tenant.label().into(),
            });
        }
        Ok(())
    }

    /// Room for a call in the queue, if there is some now.
    pub(crate) fn try_enter(
        &self,
        settings: &ViewSettings,
        bytes: u64,
    ) -> Result<Permit, SubmitError> {
        let room = self.tenant_room(&settings.tenant, &settings.task, bytes)?;
        let permit = self.admission.try_enter(bytes, room);
        permit.map_err(|why| self.no_room(why, bytes))
    }

    /// Room for a call in the queue, as soon as there is some. A tenant waits for the others, and not for itself.
    pub(crate) async fn enter(
        &self,
        settings: &ViewSettings,
        bytes: u64,
    ) -> Result<Permit, SubmitError> {
        let room = self.tenant_room(&settings.tenant, &settings.task, bytes)?;
        let permit = self.admission.enter(bytes, room).await;
        // The room may be that of tasks that ended with the cluster or the tenant.
        self.check_open(&settings.tenant)?;
        permit.map_err(|why| self.no_room(why, bytes))
    }

    /// Room for a call or job in the queue of its tenant.
    pub(crate) fn tenant_room(
        &self,
        tenant: &TenantState,
        task: &TaskSettings,
        bytes: u64,
    ) -> Result<Option<TenantRoom>, SubmitError> {
        self.check_open(tenant)?;
        tenant.check_memory(self.limits_of(task).memory)?;
        Ok(tenant.enter(bytes)?)
    }

    fn no_room(&self, why: NoRoom, bytes: u64) -> SubmitError {
        let limits = self.admission.limits();
        match why {
            NoRoom::Full => SubmitError::QueueFull(limits),
            NoRoom::TooLarge => SubmitError::TooLarge { bytes, limits },
        }
    }

    /// Submits one call.
    pub(crate) fn call<P, R>(
        self: &Arc<Self>,
        settings: &ViewSettings,
        function: &Callable<P, R>,
        maker: &Maker,
        arguing: &Arguing,
        eligible: Eligible,
        permit: Permit,
    ) -> Result<Call, SubmitError> {
        // Before it is submitted: a small call may end at once.
        let (begun, submitted) = (Instant::now(), SystemTime::now());
        let target = match &eligible {
            Eligible::One(engine) => Some(*engine),
            _ => None,
        };
        let prepared = Prepared {
            input: arguing.input(),
            pushed: pushed_to(&settings.tenant, target, function, arguing),
            eligible,
            attempt: 1,
            elements: arguing.elements.clone(),
        };
        let (job, tenant) = (self.next_job(), settings.tenant.id());
        let slot = Slot::new(job, tenant, &self.registry, Some(permit), None);
        let control = if settings.needs_care() {
            self.cared(settings, maker, prepared, &slot)?
        } else {
            let reply = Arc::new(SlotReply(Arc::clone(&slot)));
            let listener = Arc::clone(&slot);
            let dispatch = maker.dispatch(prepared, reply, listener);
            let control = Control::Plain {
                backend: Arc::downgrade(&self.backend),
                id: dispatch.id,
                cancel: dispatch.cancel.clone(),
                dispatch: Arc::downgrade(&dispatch),
            };
            self.backend.submit(dispatch);
            control
        };
        if let Some(keeper) = &self.keeper {
            let limits = self.limits_of(&settings.task);
            let called = (&maker.preset.program.module, function.name());
            keeper.call(
                &settings.task,
                (limits, &maker.preset.setting.grants),
                called,
                &arguing.input(),
                &slot,
                arguing.elements.is_some(),
            );
        }
        self.tell_submitted(
            &slot,
            &settings.tenant,
            &Submitted {
                label: settings.task.label.as_ref(),
                kind: ObservedKind::Call,
                module: function.module(),
                function: function.name(),
                progress: None,
                begun,
            },
        );
        Ok(Call {
            slot,
            label: settings.task.label.clone(),
            module: function.module().clone(),
            function: function.index(),
            control,
            begun,
            submitted,
            target,
        })
    }

    fn cared(
        &self,
        settings: &ViewSettings,
        maker: &Maker,
        prepared: Prepared,
        slot: &Arc<Slot>,
    ) -> Result<Control, SubmitError> {
        let terms = settings.terms(prepared.eligible.clone());
        let current = Arc::new(Mutex::new(Weak::new()));
        let entrant = Entrant {
            slot: Arc::clone(slot),
            work: Work::Call {
                maker: Arc::new(maker.clone()),
                prepared,
                current: Arc::clone(&current),
            },
        };
        let desk = self.desk.submit(&self.registry, entrant, terms)?;
        Ok(Control::Cared { desk, current })
    }
}

/// What the tenant has pushed to the engines that may run the call, where it matters.
fn pushed_to<P, R>(
    tenant: &TenantState,
    target: Option<EngineId>,
    function: &Callable<P, R>,
    arguing: &Arguing,
) -> Option<Arc<Pushed>> {
    let reads = arguing.names_values() || function.module().reads_pushed_values();
    reads.then(|| tenant.pushed.now(target))
}
