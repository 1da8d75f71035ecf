//! A component that declares more than a million types. It is refused.

pub(crate) fn module() -> Vec<u8> {
    const TYPES: u32 = 1_100_000;
    let mut section = Vec::new();
    let mut count = TYPES;
    while count > 0x7f {
        section.push(u8::try_from(count & 0x7f).expect("seven bits") | 0x80);
        count >>= 7;
    }
    section.push(u8::try_from(count).expect("seven bits"));
    // Each is a `u8`.
    section.extend(std::iter::repeat_n(0x7d, TYPES as usize));
    let mut component = b"\0asm\x0d\0\x01\0\x07".to_vec();
    let mut length = section.len();
    while length > 0x7f {
        component.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    component.push(u8::try_from(length).expect("seven bits"));
    component.append(&mut section);
    component
}
