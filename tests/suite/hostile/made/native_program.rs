//! A program for this machine, or what begins like one. It is refused: it is not a module.

pub(crate) fn module() -> Vec<u8> {
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    program.resize(4096, 0);
    program
}
