//! A guest's view of WASI: its streams and arguments, and what it was granted. Created when the
//! guest first uses it.

use super::clock::GuestClock;
use super::dirs::GrantedDirs;
use super::net::{self, Peers, Refusals};
use super::request::{Arguments, Request};
use super::state::HOST_WORK_VERSION;
use super::stdio::{Flowing, Stdio, unreadable};
use crate::awake::Awake;
use crate::grants::{Grants, Random};
use crate::input::Chunk;
use crate::outcome::Failure;
use crate::sandbox::module::{Callee, ModuleInfo};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng, TryRng};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiView};

/// The part that is the same for both versions of WASI.
pub(super) struct World {
    grants: Arc<Grants>,
    pub(super) peers: Arc<Peers>,
    /// What it was refused of the network.
    pub(super) refusals: Refusals,
    dirs: GrantedDirs,
    clock: GuestClock,
    /// The source of random numbers; the operating system if there is none.
    seed: Option<Seed>,
    /// How many random bytes were made from it.
    random_bytes: Arc<AtomicU64>,
    arguments: Vec<String>,
    handles: usize,
    max_random: u64,
}

impl World {
    pub(super) fn new(module: &ModuleInfo, request: &Request<'_>) -> Result<Self, Failure> {
        let setting = request.setting;
        let grants = &setting.grants;
        let clock = if setting.deterministic {
            GuestClock::simulated()
        } else {
            GuestClock::granted(grants.clock)
        };
        let seed = match (grants.random, setting.deterministic) {
            (Random::System, false) => None,
            (Random::System, true) => Some(seed(0, module, request)?),
            (Random::Seeded(number), _) => Some(seed(number, module, request)?),
        };
        let arguments = setting.command.arguments.clone();
        Ok(Self {
            grants: Arc::clone(grants),
            peers: Arc::clone(&setting.peers),
            refusals: Refusals::default(),
            dirs: setting.dirs.clone(),
            clock,
            seed,
            random_bytes: Arc::default(),
            arguments,
            handles: setting.limits.handles,
            max_random: setting.limits.random.bytes(),
        })
    }

    /// Returns how many random bytes the guest was given, if they follow from a seed.
    pub(super) fn random_bytes(&self) -> u64 {
        self.random_bytes.load(Ordering::Relaxed)
    }

    /// The time since 1970, by the clock that is granted.
    pub(super) fn wall_time(&self) -> Duration {
        HostWallClock::now(&self.clock)
    }

    /// The time since some time, by the clock that is granted.
    pub(super) fn monotonic_time(&self) -> Duration {
        Duration::from_nanos(HostMonotonicClock::now(&self.clock))
    }

    /// Whether it has directories, which it is given when the task begins.
    pub(super) fn has_directories(&self) -> bool {
        !self.dirs.is_empty()
    }

    /// Preview 1, without directories.
    pub(super) fn p1(&self, stdio: &Stdio) -> WasiP1Ctx {
        let mut context = self.builder(stdio).build_p1();
        WasiView::ctx(&mut context)
            .table
            .set_max_capacity(self.handles);
        context
    }

    /// Preview 2, without directories.
    pub(super) fn p2(&self, stdio: &Stdio) -> (WasiCtx, ResourceTable) {
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.handles);
        (self.builder(stdio).build(), table)
    }

    pub(super) fn p1_with_directories(&self, stdio: &Stdio) -> Result<WasiP1Ctx, Failure> {
        self.dirs.expect_in_place(&self.grants)?;
        let mut context = self.p1(stdio);
        *WasiView::ctx(&mut context).ctx.filesystem() = self.dirs.files();
        Ok(context)
    }

    pub(super) fn p2_with_directories(
        &self,
        stdio: &Stdio,
    ) -> Result<(WasiCtx, ResourceTable), Failure> {
        self.dirs.expect_in_place(&self.grants)?;
        let (mut ctx, table) = self.p2(stdio);
        *ctx.filesystem() = self.dirs.files();
        Ok((ctx, table))
    }

    fn builder(&self, stdio: &Stdio) -> WasiCtxBuilder {
        let mut builder = WasiCtxBuilder::new();
        builder
            .stdin(Flowing::new(&stdio.stdin, &stdio.flows))
            .stdout(Flowing::new(&stdio.stdout, &stdio.flows))
            .stderr(Flowing::new(&stdio.stderr, &stdio.flows))
            .args(&self.arguments)
            .wall_clock(self.clock)
            .monotonic_clock(self.clock)
            .max_random_size(self.max_random);
        // Of a name given twice, only the last value.
        let variables: BTreeMap<_, _> = self.grants.env.iter().cloned().collect();
        for (name, value) in variables {
            builder.env(name, value);
        }
        net::allow(&mut builder, &self.peers, &self.refusals);
        if let Some(seed) = &self.seed {
            builder
                .secure_random(self.numbers(seed, "secure"))
                .insecure_random(self.numbers(seed, "insecure"))
                .insecure_random_seed(self.numbers(seed, "seed").random());
        }
        builder
    }

    /// Random numbers for a purpose.
    fn numbers(&self, seed: &Seed, purpose: &str) -> Numbers {
        let mut hash = Sha256::new();
        hash.update(seed);
        hash.update(purpose);
        Numbers {
            numbers: StdRng::from_seed(hash.finalize().into()),
            bytes: Arc::clone(&self.random_bytes),
        }
    }
}

/// Random numbers that are counted.
struct Numbers {
    numbers: StdRng,
    bytes: Arc<AtomicU64>,
}

impl TryRng for Numbers {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.bytes.fetch_add(4, Ordering::Relaxed);
        self.numbers.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.bytes.fetch_add(8, Ordering::Relaxed);
        self.numbers.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.numbers.try_fill_bytes(bytes)
    }
}

/// What all random numbers of a task are derived from.
type Seed = [u8; 32];

/// Reads an input that may be larger than memory, as far as the task's time allows.
fn hash_input(chunk: &Chunk, request: &Request<'_>, hash: &mut Sha256) -> Result<(), Failure> {
    let limits = &request.setting.limits;
    let deadline = Awake::now().after(limits.time);
    let mut input = chunk.open().map_err(|error| unreadable(&error))?;
    let mut piece = vec![0; 1 << 16];
    loop {
        if request.cancel.is_wanted() {
            return Err(Failure::cancelled());
        }
        if deadline.is_some_and(|deadline| deadline.left().is_none()) {
            return Err(Failure::timeout(limits.time));
        }
        match input.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => hash.update(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
}

/// Derives the seed of a task from the given number and the identity of the task: its module,
/// function and input. So it is the same wherever and however often the task runs.
fn seed(number: u64, module: &ModuleInfo, request: &Request<'_>) -> Result<Seed, Failure> {
    let mut hash = Sha256::new();
    hash.update(number.to_le_bytes());
    if request.setting.deterministic {
        // What it is charged decides where it ends.
        hash.update(HOST_WORK_VERSION.to_le_bytes());
    }
    hash.update(module.hash().to_string());
    if let Callee::Function(place) = request.callee {
        hash.update(&module.functions()[place].name);
    }
    // The length before each part keeps different inputs apart.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for argument in &request.setting.command.arguments {
        part(argument.as_bytes());
    }
    match request.arguments {
        // It can be read only once, which is up to the guest.
        Arguments::Chunk(chunk) if chunk.len().is_none() => {}
        Arguments::Chunk(chunk) => {
            hash.update(chunk.len().unwrap_or_default().to_le_bytes());
            hash_input(chunk, request, &mut hash)?;
        }
        Arguments::Values(values) | Arguments::Parts(values) => {
            for value in values {
                part(value.payload());
            }
        }
    }
    Ok(hash.finalize().into())
}
