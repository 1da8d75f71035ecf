//! Four jump tables of thirty thousand places each. They are compiled, or refused, in bounded time.

pub(crate) fn module() -> Vec<u8> {
    let places = "0 1 2 ".repeat(10_000);
    let table = format!("block block block local.get 0 br_table {places} 0 end end end ").repeat(4);
    let text = format!("(module (func (export \"f\") (param i32) (result i32) {table} local.get 0))");
    wat::parse_str(text).expect("it is valid text")
}
