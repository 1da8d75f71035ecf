//! A text for people. It is refused: it is not a module.

pub(crate) fn module() -> Vec<u8> {
    b"Call me Ishmael. \x1b[2J Some years ago, never mind how long precisely,".to_vec()
}
