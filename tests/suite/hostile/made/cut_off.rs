//! A module of which the end is missing. It is refused.

pub(crate) fn module() -> Vec<u8> {
    let text = r#"(module (memory 1) (func (export "_start") (i32.store (i32.const 0) (i32.const 1))))"#;
    let mut module = wat::parse_str(text).expect("it is valid text");
    module.truncate(module.len() - 5);
    module
}
