//! Several users of one program: each has a budget and a share of the engines.
//!
//! One of two users floods the cluster and the other goes on undisturbed. Prints who was refused what, what each has
//! used, and what a host function learned of its callers. Build the guests first with `cargo xtask guests`, then:
//! `cargo run --release --example tenants`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rwasm_cluster::{Budget, Cluster, HostError, HostFunctions, Module, Stock, SubmitError};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As it stands in `guest-tasks/lookup/wit`.
const WORDS: &str = "example:dictionary/words@0.1.0";

/// What this program knows of a user.
struct User {
    language: &'static str,
}

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder()
        .engines(2)
        .host_functions(words())
        .start()?;
    let numbers = Module::from_file(guest("numbers.wasm"))?;
    let fib = numbers.function::<u32, u64>("fib")?;

    // Bob gets three times the engine time of Alice if both want all of it.
    let mut budget = Budget::default();
    budget.queued_tasks = Some(1000);
    let alice = cluster.tenant("alice").with_budget(budget);
    budget.weight = 3;
    let bob = cluster.tenant("bob").with_budget(budget);

    // Alice submits calls until she has had enough.
    let view = alice.load_balanced_view();
    let mut flood = Vec::new();
    let refused = loop {
        match view.try_submit(&fib, 22) {
            Ok(task) => flood.push(task),
            Err(SubmitError::TenantLimit(limit)) => break limit,
            Err(error) => return Err(error.into()),
        }
    };
    println!("alice: {refused}");

    // Bob's calls do not wait behind hers.
    let calm = bob.blocking().load_balanced_view();
    let value = calm.apply(&fib, 20)?;
    println!(
        "bob: fib(20) = {value} while alice has {} in the queue",
        alice.status().queued_tasks
    );

    // Each sees the host functions as the user that the program says.
    let define =
        Module::from_file(guest("lookup.wasm"))?.function::<&str, Option<String>>("define")?;
    alice.set_budget(Budget::default());
    for (tenant, language) in [(&alice, "fr"), (&bob, "en")] {
        let user = Arc::new(User { language });
        let view = tenant.load_balanced_view().context(user).blocking();
        println!(
            "river: {}",
            view.apply(&define, "river")?.ok_or("a meaning")?
        );
    }

    // Alice leaves: her queue is dropped, and what she has running is stopped.
    alice.close();
    let ended = flood.iter().filter(|task| task.get().is_ok()).count();
    for tenant in [&alice, &bob] {
        let usage = tenant.usage();
        println!(
            "{}: {} of {} tasks succeeded, {:?} on engines",
            tenant.label(),
            usage.succeeded,
            usage.tasks(),
            usage.wall_time,
        );
    }

    assert_eq!(refused.which, Stock::QueuedTasks);
    assert_eq!((value, bob.usage().succeeded), (6765, 2));
    // Her own call of the host function is one more.
    assert_eq!(alice.usage().succeeded, ended as u64 + 1);
    assert!(matches!(
        view.try_submit(&fib, 1),
        Err(SubmitError::TenantClosed { .. })
    ));
    Ok(())
}

/// The functions that guests may call. Guests pass no identity along, and could not be believed: the host function gets
/// that of the view.
fn words() -> HostFunctions {
    HostFunctions::new().function(WORDS, "lookup", async |call, (word,): (String,)| {
        let user = call.context::<User>();
        let user = user.ok_or_else(|| HostError::new("nobody is logged in"))?;
        let meaning = match (user.language, word.as_str()) {
            ("fr", "river") => "cours d'eau",
            (_, "river") => "water on its way",
            _ => return Ok(None),
        };
        Ok(Some(format!(
            "{meaning}, for {}",
            call.tenant().unwrap_or("?")
        )))
    })
}

/// Where `cargo xtask guests` puts a guest.
fn guest(name: &str) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(default, PathBuf::from)
        .join("guests")
        .join(name)
}
