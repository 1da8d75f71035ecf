//! WIT types as data, known at compile time: how large a type is, and which core values it is
//! passed as.
//!
//! The size of a pointer is a parameter: it is 4 where tasks run, and 8 where their unit tests do.

/// The description of a WIT type.
#[derive(Clone, Copy, Debug)]
pub enum Ty {
    /// The type of `()`: the result of a function without one, or a side of a result without a
    /// payload.
    Unit,
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<t>`
    List(&'static Ty),
    /// `option<t>`
    Option(&'static Ty),
    /// `result<t, e>`
    Result(&'static Ty, &'static Ty),
    /// `tuple<…>`
    Tuple(&'static [&'static Ty]),
    /// A record: its name, and its fields.
    Record(&'static str, &'static [(&'static str, &'static Ty)]),
    /// A variant: its name, and its cases; those without a payload are `Unit`.
    Variant(&'static str, &'static [(&'static str, &'static Ty)]),
    /// An enum: its name, and its cases.
    Enum(&'static str, &'static [&'static str]),
    /// Flags: their name, and each one's.
    Flags(&'static str, &'static [&'static str]),
}

/// The size of a pointer here.
pub(crate) const POINTER: usize = size_of::<usize>();

/// The canonical ABI passes at most this many core values as parameters.
pub(crate) const MAX_FLAT: usize = 16;

/// The kinds of core values, as numbers since they become parameters of types: none, `i32`, `i64`, `f32`, `f64`.
pub(crate) mod kind {
    /// No value.
    pub(crate) const NONE: u8 = 0;
    /// `i32`
    pub(crate) const I32: u8 = 1;
    /// `i64`
    pub(crate) const I64: u8 = 2;
    /// `f32`
    pub(crate) const F32: u8 = 3;
    /// `f64`
    pub(crate) const F64: u8 = 4;
}

/// The core values that something is passed as. More than [`MAX_FLAT`] are only known to be more.
#[derive(Clone, Copy, Debug)]
pub struct Flat {
    /// Their kinds.
    pub kinds: [u8; MAX_FLAT + 1],
    /// How many they are.
    pub len: usize,
}

impl Flat {
    /// No values.
    pub const EMPTY: Self = Self {
        kinds: [kind::NONE; MAX_FLAT + 1],
        len: 0,
    };

    const fn push(&mut self, kind: u8) {
        if self.len <= MAX_FLAT {
            self.kinds[self.len] = kind;
            self.len += 1;
        }
    }

    /// Appends those of `ty`, where pointers are `pointer` bytes.
    pub const fn add(&mut self, ty: &Ty, pointer: usize) {
        let address = if pointer == 8 { kind::I64 } else { kind::I32 };
        match ty {
            Ty::Unit => {}
            Ty::S64 | Ty::U64 => self.push(kind::I64),
            Ty::F32 => self.push(kind::F32),
            Ty::F64 => self.push(kind::F64),
            Ty::String | Ty::List(_) => {
                self.push(address);
                self.push(address);
            }
            Ty::Tuple(_) | Ty::Record(..) => {
                let mut at = 0;
                while at < ty.parts() {
                    self.add(ty.part(at), pointer);
                    at += 1;
                }
            }
            Ty::Option(_) | Ty::Result(..) | Ty::Variant(..) => {
                self.push(kind::I32);
                let start = self.len;
                let mut at = 0;
                while at < ty.parts() {
                    let mut case = Self::EMPTY;
                    case.add(ty.part(at), pointer);
                    let mut value = 0;
                    while value < case.len && start + value <= MAX_FLAT {
                        let place = start + value;
                        if place == self.len {
                            self.push(case.kinds[value]);
                        } else {
                            self.kinds[place] = joined(self.kinds[place], case.kinds[value]);
                        }
                        value += 1;
                    }
                    at += 1;
                }
            }
            _ => self.push(kind::I32),
        }
    }
}

/// The kind that holds values of both kinds.
const fn joined(a: u8, b: u8) -> u8 {
    match (a, b) {
        _ if a == b => a,
        (kind::I32, kind::F32) | (kind::F32, kind::I32) => kind::I32,
        _ => kind::I64,
    }
}

impl Ty {
    /// Returns the number of types it consists of: fields, or payloads of cases.
    pub const fn parts(&self) -> usize {
        match self {
            Self::List(_) => 1,
            Self::Option(_) | Self::Result(..) => 2,
            Self::Tuple(fields) => fields.len(),
            Self::Record(_, parts) | Self::Variant(_, parts) => parts.len(),
            _ => 0,
        }
    }

    /// Returns the type with this index of those it consists of.
    pub const fn part(&self, number: usize) -> &'static Self {
        match self {
            Self::List(element) => element,
            Self::Option(_) if number == 0 => &Self::Unit,
            Self::Option(some) => some,
            Self::Result(ok, _) if number == 0 => ok,
            Self::Result(_, err) => err,
            Self::Tuple(fields) => fields[number],
            Self::Record(_, parts) | Self::Variant(_, parts) => parts[number].1,
            _ => &Self::Unit,
        }
    }

    /// Returns the core values it is passed as.
    pub const fn flat(&self) -> Flat {
        self.flat_of(POINTER)
    }

    /// The same, if pointers are `pointer` bytes.
    pub const fn flat_of(&self, pointer: usize) -> Flat {
        let mut flat = Flat::EMPTY;
        flat.add(self, pointer);
        flat
    }

    /// Returns the bytes that a case number takes.
    pub const fn discriminant(&self) -> usize {
        let cases = match self {
            Self::Enum(_, cases) => cases.len(),
            _ => self.parts(),
        };
        match cases {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        }
    }

    /// Returns how many bytes it takes in memory, if pointers are `pointer` bytes.
    pub const fn size(&self, pointer: usize) -> usize {
        match self {
            Self::Unit => 0,
            Self::Bool | Self::S8 | Self::U8 => 1,
            Self::S16 | Self::U16 => 2,
            Self::S32 | Self::U32 | Self::F32 | Self::Char => 4,
            Self::S64 | Self::U64 | Self::F64 => 8,
            Self::String | Self::List(_) => 2 * pointer,
            Self::Tuple(_) | Self::Record(..) => {
                aligned(self.offset(self.parts(), pointer), self.align(pointer))
            }
            Self::Enum(..) => self.discriminant(),
            Self::Flags(_, names) => flag_bytes(names.len()),
            Self::Option(_) | Self::Result(..) | Self::Variant(..) => {
                let mut payload = 0;
                let mut at = 0;
                while at < self.parts() {
                    let size = self.part(at).size(pointer);
                    if size > payload {
                        payload = size;
                    }
                    at += 1;
                }
                aligned(self.payload(pointer) + payload, self.align(pointer))
            }
        }
    }

    /// Returns the alignment of its address in memory.
    pub const fn align(&self, pointer: usize) -> usize {
        match self {
            Self::String | Self::List(_) => pointer,
            Self::Tuple(_) | Self::Record(..) => self.align_of_parts(pointer),
            Self::Option(_) | Self::Result(..) | Self::Variant(..) => {
                let payload = self.align_of_parts(pointer);
                let discriminant = self.discriminant();
                if payload > discriminant {
                    payload
                } else {
                    discriminant
                }
            }
            Self::Unit => 1,
            _ => self.size(pointer),
        }
    }

    const fn align_of_parts(&self, pointer: usize) -> usize {
        let mut most = 1;
        let mut at = 0;
        while at < self.parts() {
            let align = self.part(at).align(pointer);
            if align > most {
                most = align;
            }
            at += 1;
        }
        most
    }

    /// Returns the offset of a case's payload, after the case number.
    pub const fn payload(&self, pointer: usize) -> usize {
        aligned(self.discriminant(), self.align_of_parts(pointer))
    }

    /// Returns the offset of a field of a tuple or record; for the index after the last one, where
    /// they end.
    pub const fn offset(&self, number: usize, pointer: usize) -> usize {
        let mut offset = 0;
        let mut at = 0;
        while at < number {
            offset = aligned(offset, self.part(at).align(pointer)) + self.part(at).size(pointer);
            at += 1;
        }
        if number < self.parts() {
            offset = aligned(offset, self.part(number).align(pointer));
        }
        offset
    }
}

/// Returns the bytes that this many flags take.
const fn flag_bytes(count: usize) -> usize {
    match count {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

const fn aligned(offset: usize, align: usize) -> usize {
    offset.div_ceil(align) * align
}

/// Whether two texts are the same.
pub(crate) const fn same_text(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

const fn same_texts(a: &[&str], b: &[&str]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if !same_text(a[at], b[at]) {
            return false;
        }
        at += 1;
    }
    a.len() == b.len()
}

/// Whether two types are the same, names included.
pub(crate) const fn same(a: &Ty, b: &Ty) -> bool {
    match (a, b) {
        (Ty::Unit, Ty::Unit)
        | (Ty::Bool, Ty::Bool)
        | (Ty::S8, Ty::S8)
        | (Ty::U8, Ty::U8)
        | (Ty::S16, Ty::S16)
        | (Ty::U16, Ty::U16)
        | (Ty::S32, Ty::S32)
        | (Ty::U32, Ty::U32)
        | (Ty::S64, Ty::S64)
        | (Ty::U64, Ty::U64)
        | (Ty::F32, Ty::F32)
        | (Ty::F64, Ty::F64)
        | (Ty::Char, Ty::Char)
        | (Ty::String, Ty::String) => true,
        (Ty::Enum(a, cases), Ty::Enum(b, others)) | (Ty::Flags(a, cases), Ty::Flags(b, others)) => {
            same_text(a, b) && same_texts(cases, others)
        }
        (Ty::Record(name, parts), Ty::Record(other, others))
        | (Ty::Variant(name, parts), Ty::Variant(other, others)) => {
            let mut at = 0;
            while at < parts.len() && at < others.len() {
                if !same_text(parts[at].0, others[at].0) {
                    return false;
                }
                at += 1;
            }
            same_text(name, other) && same_parts(a, b)
        }
        (Ty::List(_), Ty::List(_))
        | (Ty::Option(_), Ty::Option(_))
        | (Ty::Result(..), Ty::Result(..))
        | (Ty::Tuple(_), Ty::Tuple(_)) => same_parts(a, b),
        _ => false,
    }
}

const fn same_parts(a: &Ty, b: &Ty) -> bool {
    if a.parts() != b.parts() {
        return false;
    }
    let mut at = 0;
    while at < a.parts() {
        if !same(a.part(at), b.part(at)) {
            return false;
        }
        at += 1;
    }
    true
}
