//! A module, compressed. It is refused, because it is not a module: nothing is ever unpacked.

pub(crate) fn module() -> Vec<u8> {
    let module = wat::parse_str("(module (func (export \"_start\")))").expect("it is valid text");
    let length = u16::try_from(module.len()).expect("it is short");
    // A gzip header, then one block that is stored as it is.
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    file.extend(length.to_le_bytes());
    file.extend((!length).to_le_bytes());
    file.extend(&module);
    file.extend(crc32fast::hash(&module).to_le_bytes());
    file.extend(u32::from(length).to_le_bytes());
    file
}
