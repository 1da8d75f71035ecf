//! Values pushed to engines: what a guest may read by name, and what calls may refer to as
//! arguments.
//!
//! A value is pushed once and shared by all engines of the process. Its bytes and its packed forms
//! are made once, when first needed. This module does not know which engine has which values.

use bytes::Bytes;
use rwasm_value::format::write_json;
use rwasm_value::value::{Packed, PackedError, Type, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Packed forms of one value beyond this number are made anew each time: a value is used as one
/// type, rarely as two.
const MAX_PACKED_FORMS: usize = 8;

/// The values of an engine, by name.
#[doc(hidden)]
pub type PushedValues = HashMap<Arc<str>, Arc<PushedValue>>;

/// A pushed value.
#[doc(hidden)]
pub struct PushedValue {
    value: Value,
    bytes: OnceLock<Bytes>,
    packed: Mutex<Vec<Packed>>,
}

impl PushedValue {
    #[doc(hidden)]
    pub fn new(value: Value) -> Self {
        Self {
            value,
            bytes: OnceLock::new(),
            packed: Mutex::new(Vec::new()),
        }
    }

    /// Returns the value as it was pushed.
    #[doc(hidden)]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns what a guest reads: the bytes of a string or `list<u8>`, the JSON text of any other
    /// value.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.value {
            Value::Bytes(bytes) => bytes,
            Value::String(text) => text.as_bytes(),
            other => self.bytes.get_or_init(|| {
                let mut text = Vec::new();
                // Writing to memory cannot fail.
                let _ = write_json(other, &mut text);
                text.into()
            }),
        }
    }

    /// Returns the value as an argument of that type.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not fit the type.
    #[doc(hidden)]
    pub fn packed(&self, ty: &Type) -> Result<Packed, PackedError> {
        let mut forms = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = forms.iter().find(|packed| packed.ty() == ty) {
            return Ok(packed.clone());
        }
        let packed = Packed::pack(&self.value, ty)?;
        if forms.len() < MAX_PACKED_FORMS {
            forms.push(packed.clone());
        }
        Ok(packed)
    }
}

impl fmt::Debug for PushedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushedValue").field(&self.value).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_read_text_and_bytes_as_they_are_and_the_rest_as_json() {
        let read = |value: Value| PushedValue::new(value).bytes().to_vec();
        assert_eq!(read(Value::String("\"a\"\n".into())), b"\"a\"\n");
        assert_eq!(read(Value::Bytes(vec![0, 255].into())), [0, 255]);
        assert_eq!(read(Value::U64(7)), b"7");
        let pairs = Value::List(vec![("a", 1_u64).into(), ("b", 2_u64).into()]);
        assert_eq!(read(pairs), br#"[["a",1],["b",2]]"#);
    }

    #[test]
    fn bytes_and_packed_forms_are_shared() {
        let list = PushedValue::new(Value::List(vec![1_u64.into(), 2_u64.into()]));
        let ty = Type::list(Type::U64);
        let (one, two) = (list.packed(&ty).unwrap(), list.packed(&ty).unwrap());
        assert_eq!(one.payload().as_ptr(), two.payload().as_ptr());
        assert_eq!(list.bytes().as_ptr(), list.bytes().as_ptr());

        let buffer = Bytes::from(vec![7; 1000]);
        let bytes = PushedValue::new(Value::Bytes(buffer.clone()));
        assert_eq!(bytes.bytes().as_ptr(), buffer.as_ptr());
        assert_eq!(bytes.value(), &Value::Bytes(buffer));
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let error = PushedValue::new(Value::U64(1))
            .packed(&Type::String)
            .unwrap_err();
        assert_eq!(error.to_string(), "the value: expected string, found u64");
    }
}
