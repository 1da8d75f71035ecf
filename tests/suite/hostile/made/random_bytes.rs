//! A MiB of bytes without any meaning. It is refused: it is not a module.

pub(crate) fn module() -> Vec<u8> {
    let mut state = 7_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(1 << 20).collect()
}
