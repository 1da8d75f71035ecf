//! Functions that give back what they are given, of the types of `wit/echo.wit`: values of every shape pass unharmed.

use rwasm_task::Type;

#[derive(Type)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Type)]
enum Shape {
    Empty,
    Circle(u32),
    Label(String),
    Polygon(Vec<Point>),
}

#[derive(Type)]
enum Color {
    Red,
    Green,
    Blue,
}

#[derive(Type)]
#[wit(flags)]
struct Style {
    bold: bool,
    italic: bool,
    underlined: bool,
}

#[derive(Type)]
struct Drawing {
    title: String,
    color: Color,
    style: Style,
    scale: f64,
    mark: char,
    origin: Option<Point>,
    shapes: Vec<Shape>,
    layers: Vec<Vec<u32>>,
    size: (u64, i64),
    last: Result<u64, String>,
    raw: Vec<u8>,
}

/// The same drawing.
#[rwasm_task::export]
fn echo(value: Drawing) -> Drawing {
    value
}

/// The same drawing, or an error that says what it lacks where it has no title.
#[rwasm_task::export]
fn checked(value: Drawing) -> Result<Drawing, &'static str> {
    if value.title.is_empty() {
        return Err("the drawing has no title");
    }
    Ok(value)
}

/// `hello, NAME!`, as many times, parted by single spaces.
#[rwasm_task::export]
fn greet(name: &str, times: u32) -> String {
    vec![format!("hello, {name}!"); times as usize].join(" ")
}
