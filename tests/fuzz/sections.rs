//! Modules and components with whole sections changed, so that what is wrong lies deeper than in the first length.

use crate::bytes;
use fastrand::Rng;

/// The sections with a module or component in them.
const NESTED: [u8; 2] = [1, 4];

/// The sections with what a module does: globals, elements, code, data.
const DOING: [u8; 4] = [6, 9, 10, 11];

/// What is before the first section: the magic bytes and the version.
const HEADER: usize = 8;

type Section = (u8, Vec<u8>);

/// Changes a module in a few places; one that has no sections is changed as bytes.
pub(crate) fn mutate(random: &mut Rng, module: &mut Vec<u8>, others: &[Vec<u8>]) {
    let Some(mut sections) = split(module) else {
        return bytes::mutate(random, module, others);
    };
    if sections.is_empty() {
        return bytes::mutate(random, module, others);
    }
    let is_component = module.get(6) == Some(&1);
    for _ in 0..1 << random.u32(0..3) {
        let at = random.usize(0..sections.len());
        match random.u8(0..10) {
            0 => {
                let other = random.usize(0..sections.len());
                sections.swap(at, other);
            }
            1 if sections.len() > 1 => drop(sections.remove(at)),
            2 => {
                let section = sections[at].clone();
                sections.insert(at, section);
            }
            3 => {
                if let Some(section) = foreign(random, others) {
                    sections.insert(at, section);
                }
            }
            4 => sections[at].0 = random.u8(0..16),
            _ => {
                let (id, body) = &mut sections[at];
                if is_component && NESTED.contains(id) {
                    mutate(random, body, others);
                } else {
                    bytes::mutate(random, body, others);
                }
            }
        }
    }
    join(module, sections);
}

/// Changes a few bytes of the code and data in a module, so that most of what comes out is still one, and does something
/// else.
pub(crate) fn touch(random: &mut Rng, module: &mut Vec<u8>) {
    let Some(mut sections) = split(module) else {
        return;
    };
    let is_component = module.get(6) == Some(&1);
    let is_meant = |section: &&mut Section| {
        !section.1.is_empty()
            && if is_component {
                NESTED.contains(&section.0)
            } else {
                DOING.contains(&section.0)
            }
    };
    let meant: Vec<&mut Section> = sections.iter_mut().filter(is_meant).collect();
    if let Some((_, body)) = random.choice(meant) {
        if is_component {
            touch(random, body);
        } else {
            for _ in 0..1 << random.u32(0..3) {
                let at = random.usize(0..body.len());
                // What makes an index or an opcode another one that there may be.
                body[at] = match random.u8(0..3) {
                    0 => body[at].wrapping_add(1),
                    1 => body[at] ^ 1 << random.u8(0..7),
                    _ => random.u8(0..0x80),
                };
            }
        }
    }
    join(module, sections);
}

fn join(module: &mut Vec<u8>, sections: Vec<Section>) {
    module.truncate(HEADER);
    for (id, body) in sections {
        module.push(id);
        leb(module, body.len());
        module.extend(body);
    }
}

fn foreign(random: &mut Rng, others: &[Vec<u8>]) -> Option<Section> {
    let sections = split(random.choice(others)?)?;
    random.choice(sections)
}

/// The sections of a module; none where its lengths do not fit.
pub(crate) fn split(module: &[u8]) -> Option<Vec<Section>> {
    if !module.starts_with(b"\0asm") {
        return None;
    }
    let mut rest = module.get(HEADER..)?;
    let mut sections = Vec::new();
    while let Some((&id, tail)) = rest.split_first() {
        let (size, tail) = read_leb(tail)?;
        let (body, tail) = tail.split_at_checked(size)?;
        sections.push((id, body.to_vec()));
        rest = tail;
    }
    Some(sections)
}

fn read_leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let len = 1 + bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at(len);
    let number = number
        .iter()
        .rev()
        .fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    Some((number, rest))
}

pub(crate) fn leb(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        out.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return;
        }
    }
}
