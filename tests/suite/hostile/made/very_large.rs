//! A module of one byte more than any may have, most of it in a section that means nothing. It is refused.

use rwasm_cluster::MODULE_SIZE;

pub(crate) fn module() -> Vec<u8> {
    let size = usize::try_from(MODULE_SIZE.bytes()).expect("it fits") + 1;
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.push(0);
    // The length of the rest, in five bytes of seven bits.
    let rest = size - module.len() - 5;
    for place in 0..5 {
        let bits = u8::try_from((rest >> (7 * place)) & 0x7f).expect("seven bits");
        module.push(if place < 4 { bits | 0x80 } else { bits });
    }
    module.resize(size, 0);
    module
}
