//! Structs and enums that have no type in WIT.

use rwasm_task::Type;

#[derive(Type)]
struct Generic<T> {
    value: T,
}

#[derive(Type)]
struct Nothing;

#[derive(Type)]
enum Never {}

#[derive(Type)]
enum Shape {
    Circle(f64),
    Rectangle { width: f64, height: f64 },
}

#[derive(Type)]
#[wit(flags)]
struct Style {
    bold: bool,
    size: u32,
}

#[derive(Type)]
#[wit(flags)]
enum Access {
    Read,
}

#[derive(Type)]
union Bits {
    float: f32,
    number: u32,
}

#[derive(Type)]
struct Twice {
    #[wit(name = "b")]
    a: u8,
    b: u8,
}

#[derive(Type)]
#[wit(rename = "x")]
struct Renamed {
    a: u8,
}

#[derive(Type)]
struct Sized {
    length: usize,
}

/// Of which it is said once that they are refused.
#[rwasm_task::export]
fn uses(_generic: Generic<u8>, _shapes: Vec<Shape>, _access: Option<Access>) -> Result<Nothing, String> {
    Ok(Nothing)
}

fn main() {}
