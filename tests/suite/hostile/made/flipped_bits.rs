//! A module with one byte of its code changed into an instruction that there is not. It is refused.

pub(crate) fn module() -> Vec<u8> {
    let text = r#"(module (func (export "f") (result i32) (i32.const 1) (i32.const 2) (i32.add)))"#;
    let mut module = wat::parse_str(text).expect("it is valid text");
    let add = module.iter().rposition(|byte| *byte == 0x6a);
    module[add.expect("it adds")] ^= 0x95;
    module
}
