//! Lowering: writes a result in the form that the host reads.
//!
//! The Rust value stays in place until the host has read it: texts and lists of numbers are used
//! where they are, and only what differs from the canonical ABI's layout is written anew, into an
//! [`Arena`].

use crate::ty::{POINTER, Ty};
use crate::types::{Type, Typed};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::ptr;

/// A type whose values a task's function can return.
///
/// Derived along with [`Type`](derive@crate::Type); not to be implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by a task's function",
    label = "cannot be returned",
    note = "`bool`, `char`, numbers of 8 to 64 bits, `String`, `Vec`, `Option`, `Result`, tuples, `HashMap`, `BTreeMap` and `Box` can; instead of a type whose size depends on the machine, like `usize`, use `u32` or `u64`",
    note = "a struct or an enum can if it has `#[derive(rwasm_task::Type)]`",
    note = "the error of a `Result` must implement `Display` or be a `Typed<E>`"
)]
pub trait Lower: Type {
    /// Writes the value to `at`. It may point into `self`, and to what is added to the arena.
    ///
    /// # Safety
    /// There is room for it at `at`, aligned for its type, and `self` and the arena outlive what is
    /// written.
    #[doc(hidden)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena);

    /// Returns the value as one core value, if it is one.
    #[doc(hidden)]
    fn flat(&self) -> u64 {
        unreachable!("it is not one core value")
    }
}

/// Memory for what results point to, freed all at once.
#[derive(Default)]
pub struct Arena {
    blocks: Vec<(*mut u8, Layout)>,
    free: usize,
    texts: Vec<String>,
}

/// Small lists share blocks of up to this many bytes.
const MAX_BLOCK: usize = 64 * 1024;

/// The alignment of every block: more than any WIT type needs.
const BLOCK_ALIGN: usize = 8;

impl Arena {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            free: 0,
            texts: Vec::new(),
        }
    }

    /// Allocates room for this many values of a type.
    #[inline]
    fn room<T: Type + ?Sized>(&mut self, count: usize) -> *mut u8 {
        let (size, align) = const { (T::TY.size(POINTER), T::TY.align(POINTER)) };
        if count == 0 {
            return ptr::without_provenance_mut(align);
        }
        let Some(bytes) = size.checked_mul(count) else {
            handle_alloc_error(Layout::new::<u8>());
        };
        if let Some((start, layout)) = self.blocks.last() {
            let used = (layout.size() - self.free).next_multiple_of(align);
            if bytes <= layout.size() - used.min(layout.size()) {
                self.free = layout.size() - used - bytes;
                // SAFETY: the block has this much room after what is used.
                return unsafe { start.add(used) };
            }
        }
        self.new_block(bytes)
    }

    /// Allocates a block of its own, which is larger if there were others before.
    #[cold]
    fn new_block(&mut self, bytes: usize) -> *mut u8 {
        let last = self.blocks.last().map_or(0, |(_, layout)| layout.size());
        let size = bytes.max((2 * last).min(MAX_BLOCK)).max(BLOCK_ALIGN);
        let Ok(layout) = Layout::from_size_align(size, BLOCK_ALIGN) else {
            handle_alloc_error(Layout::new::<u8>());
        };
        // SAFETY: its size is not zero.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        self.blocks.push((start, layout));
        self.free = size - bytes;
        start
    }

    /// Writes values as a list: its address and length are written to `at`.
    ///
    /// # Safety
    /// As of [`Lower::store`], of each value.
    #[inline]
    unsafe fn store_list<T: Lower>(
        &mut self,
        at: *mut u8,
        len: usize,
        values: impl Iterator<Item = T>,
    ) {
        let start = self.room::<T>(len);
        let size = const { T::TY.size(POINTER) };
        let mut place = start;
        for value in values.take(len) {
            // SAFETY: there is room for `len` values.
            unsafe {
                value.store(place, self);
                place = place.add(size);
            }
        }
        // SAFETY: the caller guarantees it.
        unsafe { store_slice(at, start, len) };
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for &(start, layout) in &self.blocks {
            // SAFETY: it was allocated so, and is freed once.
            unsafe { dealloc(start, layout) };
        }
    }
}

/// Writes the address and length of a list or a string.
#[inline(always)]
unsafe fn store_slice(at: *mut u8, start: *const u8, len: usize) {
    let at = at.cast::<usize>();
    // SAFETY: there is room for both.
    unsafe {
        at.write(start.expose_provenance());
        at.add(1).write(len);
    }
}

/// Writes the field of a tuple or record at the offset `at`.
///
/// # Safety
/// As of [`Lower::store`].
#[inline(always)]
pub unsafe fn store_field<T: Type + ?Sized, F: Lower, const NUMBER: usize>(
    field: &F,
    at: *mut u8,
    arena: &mut Arena,
) {
    // SAFETY: the field has its room there.
    unsafe { field.store(at.add(const { T::TY.offset(NUMBER, POINTER) }), arena) }
}

/// Writes the payload of a case, of a value at `at`.
///
/// # Safety
/// As of [`Lower::store`].
#[inline(always)]
pub unsafe fn store_payload<T: Type + ?Sized, F: Lower>(
    payload: &F,
    at: *mut u8,
    arena: &mut Arena,
) {
    // SAFETY: the payload has its room there.
    unsafe { payload.store(at.add(const { T::TY.payload(POINTER) }), arena) }
}

/// Writes a case number.
///
/// # Safety
/// As of [`Lower::store`].
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the number is one of the type's"
)]
pub unsafe fn store_case<T: Type + ?Sized>(case: u32, at: *mut u8) {
    // SAFETY: there is room for this many bytes.
    unsafe {
        match const { T::TY.discriminant() } {
            1 => at.write(case as u8),
            2 => at.cast::<u16>().write(case as u16),
            _ => at.cast::<u32>().write(case),
        }
    }
}

/// Writes the bits of flags.
///
/// # Safety
/// As of [`Lower::store`].
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "there are no other flags")]
pub unsafe fn store_flags<T: Type + ?Sized>(bits: u32, at: *mut u8) {
    // SAFETY: there is room for this many bytes.
    unsafe {
        match const { T::TY.size(POINTER) } {
            1 => at.write(bits as u8),
            2 => at.cast::<u16>().write(bits as u16),
            _ => at.cast::<u32>().write(bits),
        }
    }
}

macro_rules! plain {
    ($($rust:ty: $value:ident => $flat:expr;)*) => {$(
        impl Lower for $rust {
            #[inline(always)]
            unsafe fn store(&self, at: *mut u8, _: &mut Arena) {
                // SAFETY: there is room for it.
                unsafe { at.cast::<Self>().write(*self) }
            }

            #[inline(always)]
            fn flat(&self) -> u64 {
                let $value = *self;
                $flat
            }
        }
    )*};
}

plain! {
    bool: value => value.into();
    u8: value => value.into();
    u16: value => value.into();
    u32: value => value.into();
    u64: value => value;
    // The canonical ABI sign-extends small numbers to 32 bits.
    i8: value => i32::from(value).cast_unsigned().into();
    i16: value => i32::from(value).cast_unsigned().into();
    i32: value => value.cast_unsigned().into();
    i64: value => value.cast_unsigned();
    f32: value => value.to_bits().into();
    f64: value => value.to_bits();
    char: value => u32::from(value).into();
}

impl Lower for () {
    #[inline(always)]
    unsafe fn store(&self, _: *mut u8, _: &mut Arena) {}

    #[inline(always)]
    fn flat(&self) -> u64 {
        0
    }
}

impl Lower for str {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, _: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe { store_slice(at, self.as_ptr(), self.len()) }
    }
}

impl Lower for String {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe { (**self).store(at, arena) }
    }
}

impl Lower for Cow<'_, str> {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe { (**self).store(at, arena) }
    }
}

impl<T: Lower> Lower for [T] {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe {
            if T::PLAIN {
                store_slice(at, self.as_ptr().cast(), self.len());
            } else {
                arena.store_list(at, self.len(), self.iter());
            }
        }
    }
}

impl<T: Lower> Lower for Vec<T> {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe { (**self).store(at, arena) }
    }
}

/// A pair of a map, as a tuple is written.
struct Pair<'a, K, V>(&'a K, &'a V);

// SAFETY: it is written as the tuple is.
unsafe impl<K: Type, V: Type> Type for Pair<'_, K, V> {
    const TY: Ty = <(K, V)>::TY;
}

impl<K: Lower, V: Lower> Lower for Pair<'_, K, V> {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe {
            store_field::<Self, K, 0>(self.0, at, arena);
            store_field::<Self, V, 1>(self.1, at, arena);
        }
    }
}

impl<K: Lower, V: Lower, S> Lower for HashMap<K, V, S> {
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        let pairs = self.iter().map(|(key, value)| Pair(key, value));
        // SAFETY: the caller guarantees it.
        unsafe { arena.store_list(at, self.len(), pairs) }
    }
}

impl<K: Lower, V: Lower> Lower for BTreeMap<K, V> {
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        let pairs = self.iter().map(|(key, value)| Pair(key, value));
        // SAFETY: the caller guarantees it.
        unsafe { arena.store_list(at, self.len(), pairs) }
    }
}

impl<T: Lower + ?Sized> Lower for Box<T> {
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe { (**self).store(at, arena) }
    }

    fn flat(&self) -> u64 {
        (**self).flat()
    }
}

impl<T: Lower + ?Sized> Lower for &T {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe { (**self).store(at, arena) }
    }

    #[inline(always)]
    fn flat(&self) -> u64 {
        (**self).flat()
    }
}

impl<T: Lower> Lower for Option<T> {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe {
            store_case::<Self>(self.is_some().into(), at);
            if let Some(value) = self {
                store_payload::<Self, T>(value, at, arena);
            }
        }
    }
}

impl<T: Lower, E: Display> Lower for Result<T, E> {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it; the text lies in the arena, which does not change it.
        unsafe {
            store_case::<Self>(self.is_err().into(), at);
            match self {
                Ok(value) => store_payload::<Self, T>(value, at, arena),
                Err(error) => {
                    let text = error.to_string();
                    store_payload::<Self, String>(&text, at, arena);
                    arena.texts.push(text);
                }
            }
        }
    }
}

impl<T: Lower, E: Lower> Lower for Result<T, Typed<E>> {
    #[inline(always)]
    unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
        // SAFETY: the caller guarantees it.
        unsafe {
            store_case::<Self>(self.is_err().into(), at);
            match self {
                Ok(value) => store_payload::<Self, T>(value, at, arena),
                Err(Typed(error)) => store_payload::<Self, E>(error, at, arena),
            }
        }
    }

    /// Where neither side carries anything.
    fn flat(&self) -> u64 {
        self.is_err().into()
    }
}

macro_rules! tuples {
    ($($name:ident $number:tt)*) => {
        impl<$($name: Lower),*> Lower for ($($name,)*) {
            #[inline(always)]
            unsafe fn store(&self, at: *mut u8, arena: &mut Arena) {
                // SAFETY: the caller guarantees it.
                unsafe { $(store_field::<Self, $name, $number>(&self.$number, at, arena);)* }
            }

            /// That of its only field.
            fn flat(&self) -> u64 {
                self.0.flat()
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0 B 1);
tuples!(A 0 B 1 C 2);
tuples!(A 0 B 1 C 2 D 3);
tuples!(A 0 B 1 C 2 D 3 E 4);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);

/// A result that the host reads, and what it points to.
pub(crate) struct Kept<R> {
    /// Dropped before the arena, though neither needs the other then.
    value: R,
    arena: Arena,
}

impl<R: Lower> Kept<R> {
    /// Where in the allocation the written value lies, and the allocation's layout.
    const PLACE: (usize, Layout) = {
        let head = Layout::new::<Self>();
        let (size, align) = (R::TY.size(POINTER), R::TY.align(POINTER));
        let place = head.size().next_multiple_of(align);
        let align = if head.align() > align {
            head.align()
        } else {
            align
        };
        match Layout::from_size_align(place + size, align) {
            Ok(layout) => (place, layout),
            Err(_) => panic!("the result does not fit into a memory"),
        }
    };

    /// Keeps the value, and returns the address at which it is written.
    pub(crate) fn keep(value: R) -> *mut u8 {
        let (place, layout) = Self::PLACE;
        // SAFETY: its size is not zero, since it holds an arena.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let kept = start.cast::<Self>();
        // SAFETY: the allocation has room for the head and, behind it, for the written value. The value is at its place
        // before anything points into it, and is not touched until it is dropped.
        unsafe {
            kept.write(Self {
                value,
                arena: Arena::new(),
            });
            let written = start.add(place);
            let Self { value, arena } = &mut *kept;
            value.store(written, arena);
            written
        }
    }

    /// Drops what was kept.
    ///
    /// # Safety
    /// `keep` returned the address, and it has not been dropped.
    pub(crate) unsafe fn drop(written: *mut u8) {
        let (place, layout) = Self::PLACE;
        // SAFETY: see `keep`.
        unsafe {
            let start = written.sub(place);
            start.cast::<Self>().drop_in_place();
            dealloc(start, layout);
        }
    }
}
