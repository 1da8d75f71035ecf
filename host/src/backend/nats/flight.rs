//! The way of one dispatch: it is sent, awaited and answered, or withdrawn.

use super::agent::{AGAIN, ANSWER, Agent, SentDispatch};
use super::encode::EncodeError;
use crate::dispatch::Dispatch;
use crate::nats::blob::{BlobError, Charged, LARGEST_INLINE};
use crate::nats::names::{self, Class};
use crate::nats::orders::{self, Disobeyed, ONCE_MORE};
use crate::nats::problem::Problem;
use crate::nats::refusal::Denied;
use crate::nats::wire::{OutcomesHead, decode_outcomes, largest_outcomes, parse};
use crate::placement::Eligible;
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use bytes::Bytes;
use rwasm_sandbox::outcome::{Failure, FailureCode};
use rwasm_sandbox::sandbox::{Callee, Module, value_type};
use rwasm_value::ids::EngineId;
use rwasm_value::value::Type;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long the server may be away before a task fails because of it.
const GIVE_UP: Duration = Duration::from_mins(2);

/// A cluster that takes no tasks for this long is reported.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// The longest pause before something is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a task waits to be sent.
const FULL: &str = "the cluster's task queue is full until engines have run some tasks; raise its limit with `init --max-bytes SIZE --change`";

/// How long an engine may take to answer a task that was stopped.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Registers a dispatch, which can be withdrawn from then on, and takes it to its end.
pub(super) fn begin(agent: &Arc<Agent>, dispatch: Arc<Dispatch>) {
    let (done, ended) = oneshot::channel();
    let flight = SentDispatch {
        dispatch: Arc::clone(&dispatch),
        engine: None,
        objects: Vec::new(),
        has_landed: false,
        done: Some(done),
    };
    agent.flights().insert(dispatch.id.0, flight);
    tokio::spawn(fly(Arc::clone(agent), dispatch, ended));
}

async fn fly(agent: Arc<Agent>, dispatch: Arc<Dispatch>, mut ended: oneshot::Receiver<()>) {
    let number = dispatch.id.0;
    let sent = tokio::select! {
        biased;
        () = dispatch.cancel.wanted() => Ok(()),
        _ = &mut ended => return,
        sent = send(&agent, &dispatch, number) => sent,
    };
    if let Err((engine, failure)) = sent {
        agent.over(number);
        let _ = dispatch.begin();
        dispatch.fail_rest_with(engine, &failure);
        return;
    }
    tokio::select! {
        _ = &mut ended => return,
        () = dispatch.cancel.wanted() => {}
    }
    agent.unwanted(number);
    // Either no engine has begun it, or its engine does not report how far it got.
    if dispatch.expire() || timeout(LAST_ANSWER, ended).await.is_err() {
        dispatch.cancel_rest(None);
        agent.over(number);
    }
}

type Unsent = (Option<EngineId>, Failure);

async fn send(agent: &Agent, dispatch: &Dispatch, number: u64) -> Result<(), Unsent> {
    let Ok(_permit) = agent.sending.acquire().await else {
        return Ok(());
    };
    let mut patience = Patience::new();
    if let Some(module) = dispatch.program.to_send() {
        let sent = upload(agent, module, &mut patience).await;
        sent.map_err(|failure| (None, failure))?;
    }
    match choose(agent, &dispatch.eligible)? {
        Some(engine) => {
            if let Some(flight) = agent.flights().get_mut(&number) {
                flight.engine = Some(engine);
            }
            hand_over(agent, dispatch, number, engine, &mut patience)
                .await
                .map_err(|failure| (Some(engine), failure))
        }
        None => publish(agent, dispatch, number, &mut patience)
            .await
            .map_err(|failure| (None, failure)),
    }
}

/// Chooses the engine of a dispatch that is not for any engine: among several, the one with the fewest of ours.
fn choose(agent: &Agent, eligible: &Eligible) -> Result<Option<EngineId>, Unsent> {
    let lost = |engine: Option<EngineId>, text: String| {
        (engine, Failure::new(FailureCode::EngineLost, text))
    };
    match eligible {
        Eligible::Any => Ok(None),
        Eligible::One(engine) => match agent.roster.process(*engine) {
            Some(_) => Ok(Some(*engine)),
            None => Err(lost(Some(*engine), format!("there is no engine {engine}"))),
        },
        Eligible::Of(engines) => {
            let flights = agent.flights();
            let load = |engine: &EngineId| {
                let has = flights.values().filter(|one| one.engine == Some(*engine));
                has.count()
            };
            let present = engines
                .iter()
                .filter(|engine| agent.roster.process(**engine).is_some());
            if let Some(engine) = present.min_by_key(|engine| load(engine)) {
                Ok(Some(*engine))
            } else {
                let named = crate::backend::ids(engines);
                Err(lost(None, format!("none of the engines {named} exists")))
            }
        }
    }
}

/// Stores the module for engines to fetch, unless it is stored already and stays for as long as a task may wait.
async fn upload(agent: &Agent, module: &Module, patience: &mut Patience) -> Result<(), Failure> {
    let mut uploaded = agent.uploaded.lock().await;
    let now = Instant::now();
    uploaded.retain(|_, until| *until > now);
    if uploaded.contains_key(&module.hash()) {
        return Ok(());
    }
    let name = module.hash().to_string();
    loop {
        match agent.modules.share(&name, module.bytes()).await {
            Ok(time) => {
                uploaded.insert(module.hash(), now + time);
                return Ok(());
            }
            Err(BlobError::Denied(denied)) => return Err(not_permitted(agent, &denied)),
            Err(error) => patience.wait(agent, error.into()).await?,
        }
    }
}

/// Why something is to be sent again.
enum Again {
    /// There is no room for it until engines have taken what is there.
    Full(String),
    /// The server refused it, or cannot be reached.
    Other(String),
}

impl From<BlobError> for Again {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full { .. } => Self::Full(error.to_string()),
            error => Self::Other(error.to_string()),
        }
    }
}

/// How long a dispatch is sent again, and when next.
struct Patience {
    pause: Duration,
    since: Option<Instant>,
    give_up: Instant,
}

impl Patience {
    fn new() -> Self {
        Self {
            pause: AGAIN,
            since: None,
            give_up: Instant::now() + GIVE_UP,
        }
    }

    /// Waits before something is sent again; fails if it has been tried for long enough. Waits for room as long as it
    /// takes.
    async fn wait(&mut self, agent: &Agent, again: Again) -> Result<(), Failure> {
        let now = Instant::now();
        let reason = match again {
            Again::Full(reason) => {
                self.give_up = now + GIVE_UP;
                reason
            }
            Again::Other(reason) if now >= self.give_up => {
                let message = format!("the task could not be submitted to the cluster: {reason}");
                return Err(Failure::new(FailureCode::EngineLost, message));
            }
            Again::Other(reason) => reason,
        };
        tracing::warn!(reason, "the cluster did not accept a task; trying again");
        if now - *self.since.get_or_insert(now) >= WORTH_TELLING {
            agent.stalled(&reason);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn not_permitted(agent: &Agent, denied: &Denied) -> Failure {
    let message = format!(
        "the task could not be submitted to {}: {denied}",
        agent.connection.url
    );
    Failure::new(FailureCode::PolicyDenied, message)
}

/// Encodes the message, and stores the objects it needs.
async fn encode(
    agent: &Agent,
    dispatch: &Dispatch,
    number: u64,
    engine: Option<EngineId>,
    patience: &mut Patience,
) -> Result<Bytes, Failure> {
    let engines = agent.roster.count();
    let name = number.to_string();
    loop {
        let mut objects = Vec::new();
        let encoder = &agent.encoder;
        let encoded = encoder.encode(dispatch, &name, engine, engines, &mut objects);
        let encoded = encoded.await;
        agent.keep_objects(number, objects);
        match encoded {
            Ok(message) => return Ok(message),
            Err(EncodeError::Refused(message, is_input_error)) => {
                let mut failure = Failure::new(FailureCode::BadInput, message);
                failure.is_input_error = is_input_error;
                return Err(failure);
            }
            Err(EncodeError::Blob(BlobError::Denied(denied))) => {
                return Err(not_permitted(agent, &denied));
            }
            Err(EncodeError::Blob(error @ BlobError::NeverFits { .. })) => {
                return Err(Failure::new(FailureCode::InputLimit, error.to_string()));
            }
            Err(EncodeError::Blob(error)) => patience.wait(agent, error.into()).await?,
        }
    }
}

/// Publishes a dispatch for any engine to the queue, and returns once it is stored.
async fn publish(
    agent: &Agent,
    dispatch: &Dispatch,
    number: u64,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let message = encode(agent, dispatch, number, None, patience).await?;
    let most = agent.tasks.cached_info().config.max_bytes;
    if u64::try_from(most).is_ok_and(|most| most > 0 && message.len() as u64 > most) {
        let message = format!(
            "the task's message has {} bytes, but the whole queue may have {most}: allow larger streams (`rwasm-cluster init --max-bytes`)",
            message.len()
        );
        return Err(Failure::new(FailureCode::InputLimit, message));
    }
    let name = number.to_string();
    let class = Class::of(dispatch.priority);
    let subject = names::task(&agent.lane, class, &agent.session, &name);
    let mut headers = HeaderMap::new();
    // One that is sent again, since its acknowledgement was lost, is not a second one.
    headers.insert("Nats-Msg-Id", format!("{}/{name}", agent.session));
    let mut answer = ANSWER;
    loop {
        let publish = agent
            .connection
            .publish("rwc.t.", &subject, &headers, &message);
        let again = match agent.connection.within(answer, publish).await {
            Some(Ok(Ok(_))) => return Ok(()),
            Some(Ok(Err(error))) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                let message = format!(
                    "the task's message has {} bytes, more than the server accepts: raise its max_payload to 1 MiB or more",
                    message.len()
                );
                return Err(Failure::new(FailureCode::InputLimit, message));
            }
            Some(Ok(Err(error))) => {
                let reason = told(&error);
                if Problem::from(error).is_full() {
                    Again::Full(FULL.to_owned())
                } else {
                    Again::Other(reason)
                }
            }
            Some(Err(denied)) => return Err(not_permitted(agent, &denied)),
            None => {
                answer *= 2;
                Again::Other("the server does not confirm that it has it".to_owned())
            }
        };
        patience.wait(agent, again).await?;
    }
}

/// Formats an error with its sources.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// Hands a dispatch to the process of an engine, which says at once whether it takes it.
async fn hand_over(
    agent: &Agent,
    dispatch: &Dispatch,
    number: u64,
    engine: EngineId,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let lost = |text: &str| Failure::new(FailureCode::EngineLost, text);
    let turn = agent.turn(engine);
    let _turn = turn.lock().await;
    let message = encode(agent, dispatch, number, Some(engine), patience).await?;
    let mut headers = HeaderMap::new();
    headers.insert(orders::TASK, format!("{}.{number}", agent.session));
    let mut pause = Duration::from_millis(5);
    let mut is_again = false;
    loop {
        let Some(process) = agent.roster.process(engine) else {
            return Err(lost("its process left before it received the task"));
        };
        let subject = names::execute(&process);
        // Each attempt has a signature of its own: a nonce is good once.
        let headers = agent.connection.signed(&subject, headers.clone(), &message);
        let client = &agent.connection.client;
        let request = client.request_with_headers(subject, headers, message.clone());
        match timeout(ANSWER, agent.connection.watched("rwc.e.", request)).await {
            Ok(Ok(Ok(reply))) => match &reply.payload[..] {
                b"accepted" => return Ok(()),
                b"busy" => {
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(200));
                }
                other => {
                    let why = Disobeyed::of(other);
                    if why == Some(Disobeyed::Stranger) && !is_again {
                        is_again = true;
                        sleep(ONCE_MORE).await;
                        continue;
                    }
                    let code = why.map_or(FailureCode::EngineLost, |_| FailureCode::PolicyDenied);
                    let reason = String::from_utf8_lossy(other);
                    let message = format!("its process rejects the task: {reason}");
                    return Err(Failure::new(code, message));
                }
            },
            Ok(Ok(Err(error)))
                if error.kind() == async_nats::client::RequestErrorKind::NoResponders =>
            {
                return Err(lost("its process is gone"));
            }
            Ok(Ok(Err(error))) => patience.wait(agent, Again::Other(told(&error))).await?,
            Ok(Err(denied)) => return Err(not_permitted(agent, &denied)),
            Err(_) => {
                let silent = "the engine's process does not answer".to_owned();
                patience.wait(agent, Again::Other(silent)).await?;
            }
        }
    }
}

/// Handles a result: answers the dispatch it belongs to.
pub(super) fn land(agent: &Arc<Agent>, subject: &str, payload: &Bytes) {
    let Some(number) = subject
        .rsplit('.')
        .next()
        .and_then(|name| name.parse::<u64>().ok())
    else {
        return;
    };
    let dispatch = match agent.flights().get_mut(&number) {
        Some(flight) if !flight.has_landed => {
            flight.has_landed = true;
            Arc::clone(&flight.dispatch)
        }
        // One that is over has its answer, and one that has landed is about to get it.
        _ => return,
    };
    let (head, body) = match parse::<OutcomesHead>(payload) {
        Ok(parts) => parts,
        Err(error) => return unreadable(agent, number, &dispatch, &error.to_string()),
    };
    let Some(name) = head.body else {
        return answer(agent, number, &dispatch, &body);
    };
    let agent = Arc::clone(agent);
    tokio::spawn(async move {
        let give_up = Instant::now() + GIVE_UP;
        loop {
            match fetch_results(&agent, &name, &dispatch, dispatch.tasks.len() as u64).await {
                Ok(body) => {
                    answer(&agent, number, &dispatch, &body.bytes);
                    drop(body);
                    let _ = agent.encoder.blobs.remove(&name).await;
                    return;
                }
                Err(error) if error.is_passing() && Instant::now() < give_up => {
                    sleep(AGAIN).await;
                }
                Err(error) => {
                    return unreadable(&agent, number, &dispatch, &error.to_string());
                }
            }
        }
    });
}

/// Fetches the results of so many tasks of a dispatch, once there is room for them.
pub(super) async fn fetch_results(
    agent: &Agent,
    name: &str,
    dispatch: &Dispatch,
    tasks: u64,
) -> Result<Charged, BlobError> {
    let most = largest_outcomes(&dispatch.setting.limits, tasks);
    let blobs = &agent.encoder.blobs;
    blobs.get_within(name, most, &agent.reading).await
}

fn answer(agent: &Agent, number: u64, dispatch: &Dispatch, body: &[u8]) {
    match decode_outcomes(body, &result_type(dispatch), dispatch.tasks.len() as u64) {
        Ok(outcomes) => {
            let _ = dispatch.begin();
            if !outcomes.is_empty() {
                agent.roster.completed(&outcomes);
                dispatch.answer(outcomes);
            }
            let message = "the engine answered fewer tasks than it was given";
            dispatch.fail_rest(None, FailureCode::Internal, message);
            agent.over(number);
        }
        Err(error) => unreadable(agent, number, dispatch, &error.to_string()),
    }
}

fn unreadable(agent: &Agent, number: u64, dispatch: &Dispatch, why: &str) {
    let _ = dispatch.begin();
    let message = format!("the engine's answer cannot be read: {why}");
    dispatch.fail_rest(None, FailureCode::Internal, &message);
    agent.over(number);
}

pub(super) fn result_type(dispatch: &Dispatch) -> Type {
    match dispatch.callee {
        Callee::Command => Type::bytes(),
        Callee::Function(place) => value_type(&dispatch.program.module.functions()[place]),
    }
}

const _: () = assert!(LARGEST_INLINE < 1 << 20, "a message takes what is inline");
