//! An empty file. It is refused as no module.

pub(crate) fn module() -> Vec<u8> {
    Vec::new()
}
