//! Components in components, a hundred thousand deep. It is refused at once, and no stack of the host's
//! overflows.

const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

pub(crate) fn module() -> Vec<u8> {
    // The innermost first: how long what is in each of them is.
    let mut lengths = vec![HEADER.len()];
    for _ in 0..100_000 {
        let inner = lengths[lengths.len() - 1];
        lengths.push(HEADER.len() + 1 + leb(inner).len() + inner);
    }
    lengths.pop();
    let mut component = HEADER.to_vec();
    for inner in lengths.into_iter().rev() {
        // A section of one component.
        component.push(4);
        component.extend(leb(inner));
        component.extend(HEADER);
    }
    component
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
    bytes
}
