//! `()` is nothing, and WIT has no type for it where a value is wanted.

#[rwasm_task::export]
fn nothings() -> Vec<()> {
    Vec::new()
}

fn main() {}
