//! A type that holds itself, which WIT has not.

use rwasm_task::Type;

#[derive(Type)]
struct Node {
    children: Vec<Node>,
}

#[rwasm_task::export]
fn depth(tree: Node) -> u32 {
    tree.children.len() as u32
}

fn main() {}
