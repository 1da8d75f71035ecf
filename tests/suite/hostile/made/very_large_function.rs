//! One function of thirty thousand additions. It is compiled, or refused, in bounded time.

pub(crate) fn module() -> Vec<u8> {
    let additions = "i32.const 7 i32.add ".repeat(30_000);
    let text = format!("(module (func (export \"f\") (param i32) (result i32) local.get 0 {additions}))");
    wat::parse_str(text).expect("it is valid text")
}
