//! A host made of a few lines: values go from the memory of a task into room that it has made for them, as the canonical ABI
//! has it, but with pointers as large as they are here.

#![expect(
    unsafe_code,
    reason = "it reads and writes what tasks have lowered and lift"
)]

use rwasm_task::rt::{Arena, Lift, Lower, Slots, Ty, Type};
use std::alloc::{Layout, alloc, dealloc};

const POINTER: usize = size_of::<usize>();

/// Room with this layout, as `cabi_realloc` makes it.
fn room(size: usize, align: usize) -> *mut u8 {
    if size == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    let layout = Layout::from_size_align(size, align).expect("a layout");
    // SAFETY: it has a size.
    unsafe { alloc(layout) }
}

/// The number of a case at `at`.
unsafe fn case(ty: &Ty, at: *const u8) -> usize {
    // SAFETY: it lies there.
    unsafe {
        match ty.discriminant() {
            1 => (*at).into(),
            2 => at.cast::<u16>().read().into(),
            _ => at.cast::<u32>().read() as usize,
        }
    }
}

/// Copies a value, with all that it points to.
unsafe fn copy(ty: &Ty, from: *const u8, to: *mut u8) {
    // SAFETY: a value of the type lies at `from`, and there is room for one at `to`.
    unsafe {
        from.copy_to_nonoverlapping(to, ty.size(POINTER));
        match ty {
            Ty::String | Ty::List(_) => {
                let element = match ty {
                    Ty::List(element) => element,
                    _ => &Ty::U8,
                };
                let (size, align) = (element.size(POINTER), element.align(POINTER));
                let start = from.cast::<*const u8>().read();
                let len = from.cast::<usize>().add(1).read();
                assert!(len == 0 || start.addr().is_multiple_of(align));
                let copied = room(len * size, align);
                for number in 0..len {
                    copy(element, start.add(number * size), copied.add(number * size));
                }
                to.cast::<*mut u8>().write(copied);
                copied.expose_provenance();
            }
            Ty::Tuple(_) | Ty::Record(..) => {
                for number in 0..ty.parts() {
                    let offset = ty.offset(number, POINTER);
                    copy(ty.part(number), from.add(offset), to.add(offset));
                }
            }
            Ty::Option(_) | Ty::Result(..) | Ty::Variant(..) => {
                let payload = ty.payload(POINTER);
                copy(ty.part(case(ty, from)), from.add(payload), to.add(payload));
            }
            _ => {}
        }
    }
}

/// The core values of a value, each as its bits; they take over what it points to.
unsafe fn flatten(ty: &Ty, from: *const u8, flat: &mut Vec<u64>) {
    // SAFETY: a value of the type lies at `from`.
    unsafe {
        match ty {
            Ty::Unit => {}
            Ty::String | Ty::List(_) => {
                flat.push(from.cast::<usize>().read() as u64);
                flat.push(from.cast::<usize>().add(1).read() as u64);
            }
            Ty::Tuple(_) | Ty::Record(..) => {
                for number in 0..ty.parts() {
                    flatten(ty.part(number), from.add(ty.offset(number, POINTER)), flat);
                }
            }
            Ty::Option(_) | Ty::Result(..) | Ty::Variant(..) => {
                let end = flat.len() + ty.flat().len;
                let case = case(ty, from);
                flat.push(case as u64);
                flatten(ty.part(case), from.add(ty.payload(POINTER)), flat);
                // What the case does not use is anything.
                flat.resize(end, 0xdead_beef_dead_beef);
            }
            Ty::S8 => flat.push(u64::from(
                i32::from(from.cast::<i8>().read()).cast_unsigned(),
            )),
            Ty::S16 => flat.push(u64::from(
                i32::from(from.cast::<i16>().read()).cast_unsigned(),
            )),
            _ => flat.push(match ty.size(POINTER) {
                1 => (*from).into(),
                2 => from.cast::<u16>().read().into(),
                4 => from.cast::<u32>().read().into(),
                _ => from.cast::<u64>().read(),
            }),
        }
    }
}

/// A tuple of arguments, in room of its own.
pub(crate) struct Passed<T: Type> {
    at: *mut u8,
    of: std::marker::PhantomData<T>,
}

impl<T: Lower> Passed<T> {
    /// What a host passes for the value.
    pub(crate) fn new(value: &T) -> Self {
        let (size, align) = (T::TY.size(POINTER), T::TY.align(POINTER));
        let (written, at) = (room(size, align), room(size, align));
        let mut arena = Arena::new();
        // SAFETY: there is room for the value, which outlives the copy.
        unsafe {
            value.store(written, &mut arena);
            copy(&T::TY, written, at);
        }
        free(written, &T::TY);
        Self {
            at,
            of: std::marker::PhantomData,
        }
    }

    /// As core values, and filled up to sixteen with what is not to be read.
    pub(crate) fn flat(self) -> [u64; 16] {
        let mut flat = Vec::new();
        // SAFETY: it lies there.
        unsafe { flatten(&T::TY, self.at, &mut flat) };
        free(self.at, &T::TY);
        flat.resize(16, 0x5555_5555);
        flat.try_into().expect("sixteen")
    }

    /// As the place where it lies.
    pub(crate) fn spilled(self) -> [u64; 16] {
        let mut flat = [0x5555_5555; 16];
        flat[0] = self.at.expose_provenance() as u64;
        flat
    }
}

fn free(at: *mut u8, ty: &Ty) {
    let layout = Layout::from_size_align(ty.size(POINTER), ty.align(POINTER)).expect("a layout");
    if layout.size() > 0 {
        // SAFETY: `room` made it.
        unsafe { dealloc(at, layout) };
    }
}

/// The value, after it has gone to a host and come back by memory.
pub(crate) fn by_memory<T: Lower + Lift>(value: &T) -> T {
    let passed = Passed::new(value);
    // SAFETY: it lies there, and is taken once.
    let lifted = unsafe { T::load(passed.at) };
    free(passed.at, &T::TY);
    lifted
}

/// The value, after it has gone to a host and come back as core values; none, where they are too many.
pub(crate) fn by_values<T: Lower + Lift>(value: &T) -> Option<T> {
    if T::TY.flat().len > 16 {
        return None;
    }
    let mut slots = Slots::new(Passed::new(value).flat());
    // SAFETY: they were made of such a value, and are taken once.
    Some(unsafe { T::lift(&mut slots) })
}

/// The copy of a result that a function gave by its place.
pub(crate) fn result<T: Lift>(given: u64) -> T {
    let at = std::ptr::with_exposed_provenance::<u8>(usize::try_from(given).expect("a place"));
    let copied = room(T::TY.size(POINTER), T::TY.align(POINTER));
    // SAFETY: a result lies there, and its copy is taken once.
    let lifted = unsafe {
        copy(&T::TY, at, copied);
        T::load(copied)
    };
    free(copied, &T::TY);
    lifted
}
