//! An empty file. It is refused: it is not a module.

pub(crate) fn module() -> Vec<u8> {
    Vec::new()
}
