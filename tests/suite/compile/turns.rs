//! Compilers go to the tenants of a cluster in turn.

use super::{cluster, script, text};
use crate::support::{SOON, folder, is_alone, until};
use rwasm_cluster::{Module, SubmitError, Tenant};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::{Scope, available_parallelism};

/// A module that the helper below knows by this name.
fn named(name: &str) -> Module {
    text(format!(
        "(module (func (export \"named-{name}\") (result i32) i32.const 1))"
    ))
}

/// Submits a call of the module on another thread, and returns once that waits. What becomes of the call is not looked
/// at: its module is not compiled in the end.
fn submit<'scope>(scope: &'scope Scope<'scope, '_>, tenant: &'scope Tenant, name: String) {
    let (sender, told) = channel();
    scope.spawn(move || {
        let module = named(&name);
        let f = module.function::<(), i32>(&format!("named-{name}"));
        let view = tenant.load_balanced_view();
        let thread = fs::read_link("/proc/thread-self").expect("it has a number");
        sender.send(thread).expect("somebody waits for it");
        let submitted = view.try_submit(&f.expect("it is there"), ());
        assert!(matches!(submitted.err(), Some(SubmitError::Load(_))));
    });
    let thread = told.recv_timeout(SOON).expect("the thread begins");
    let stat = Path::new("/proc").join(thread).join("stat");
    until("the thread waits", || {
        fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "))
    });
}

fn begun(order: &Path) -> Vec<String> {
    let text = fs::read_to_string(order).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Lets all compilers go, also if the test fails: its threads wait for them.
struct OpenAtLast<'a>(&'a File, usize);

impl Drop for OpenAtLast<'_> {
    fn drop(&mut self) {
        let mut gate = self.0;
        gate.write_all(&b"\n".repeat(self.1))
            .expect("there is room");
    }
}

#[test]
fn a_tenant_waits_for_one_module_of_another_and_not_for_all() {
    // The compilers of a process are for all of its clusters, and here they wait for each other.
    if !is_alone("compile::turns::a_tenant_waits_for_one_module_of_another_and_not_for_all") {
        return;
    }
    let dir = folder();
    let (order, gate) = (dir.path().join("order"), dir.path().join("gate"));
    let made = Command::new("mkfifo").arg(&gate).status();
    assert!(made.expect("mkfifo starts").success());
    // Writes down which module it should compile, and fails when it is let go. Its stdin does not end.
    let cluster = cluster(script(
        &dir,
        &format!(
            "dd bs=4096 count=1 2>/dev/null | grep -ao 'named-[a-z0-9]*' >> {}\nread go < {}\nexit 1",
            order.display(),
            gate.display()
        ),
    ));
    let gate = File::options()
        .read(true)
        .write(true)
        .open(&gate)
        .expect("a pipe");
    let (flood, other) = (cluster.tenant("flood"), cluster.tenant("other"));
    let compilers = available_parallelism().map_or(1, usize::from);
    let count = compilers + 8;
    std::thread::scope(|scope| {
        for number in 0..count {
            submit(scope, &flood, format!("a{number}"));
        }
        let open = OpenAtLast(&gate, count + 1);
        until("a module is being compiled", || !begun(&order).is_empty());
        submit(scope, &other, "b".to_owned());
        let before = begun(&order).len();
        assert!(before <= compilers, "{before}");
        for let_go in 1..=8 {
            (&gate).write_all(b"\n").expect("somebody reads");
            until("the next is being compiled", || {
                begun(&order).len() >= before + let_go
            });
        }
        drop(open);
        until("all were compiled", || begun(&order).len() == count + 1);
        let begun = begun(&order);
        let place = begun.iter().position(|name| name == "named-b");
        assert!(
            place.is_some_and(|place| place <= compilers + 1),
            "{begun:?}"
        );
    });
}
