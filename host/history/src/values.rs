//! The stored form of values: their types as one JSON array, and their wire forms one after the
//! other, each preceded by its length (8 bytes, little-endian).

use super::error::Damage;
use super::types;
use rwasm_value::value::{Packed, Type};
use serde_json::Value as Json;

const LENGTH: usize = 8;

/// Returns the JSON of the types; none if one nests too deeply to be stored.
pub(super) fn types_text(types: &[Type]) -> Option<String> {
    let types: Option<Vec<Json>> = types.iter().map(types::to_json).collect();
    Some(Json::Array(types?).to_string())
}

/// Returns the bytes of the values.
pub(super) fn encode(values: &[Packed]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.iter().map(|value| LENGTH + 1 + value.len()).sum());
    for value in values {
        let wire = value.to_wire();
        bytes.extend((wire.len() as u64).to_le_bytes());
        bytes.extend(wire);
    }
    bytes
}

/// Reads values from their types and bytes. Everything is checked.
pub(super) fn decode(types: &str, mut bytes: &[u8]) -> Result<Vec<Packed>, Damage> {
    let types: Vec<Json> = serde_json::from_str(types).map_err(|error| {
        Damage(format!(
            "the types of a value are not a JSON array: {error}"
        ))
    })?;
    let mut values = Vec::with_capacity(types.len());
    for ty in &types {
        let ty = types::from_json(ty)?;
        let wire = take(&mut bytes).ok_or_else(|| Damage::new("a value is cut short"))?;
        values.push(Packed::from_wire(ty, wire).map_err(|error| Damage(error.to_string()))?);
    }
    if !bytes.is_empty() {
        return Err(Damage(format!("{} bytes follow the values", bytes.len())));
    }
    Ok(values)
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (head, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::any_typed;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_round_trip_and_no_prefix_of_them_does(typed in vec(any_typed(), 0..4), part: prop::sample::Index) {
            let values: Vec<Packed> = typed
                .iter()
                .map(|(ty, value)| Packed::pack(value, ty).expect("fits"))
                .collect();
            let types: Vec<Type> = typed.into_iter().map(|(ty, _)| ty).collect();
            let (types, bytes) = (types_text(&types).expect("shallow"), encode(&values));
            prop_assert_eq!(decode(&types, &bytes), Ok(values));
            if !bytes.is_empty() {
                prop_assert!(decode(&types, &bytes[..part.index(bytes.len())]).is_err());
            }
        }

        #[test]
        fn damaged_bytes_are_an_error_or_a_value_and_never_a_panic(
            (ty, value) in any_typed(), at: prop::sample::Index, byte: u8,
        ) {
            let values = [Packed::pack(&value, &ty).expect("fits")];
            let mut bytes = encode(&values);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let types = types_text(&[ty]).expect("shallow");
            let _ = decode(&types, &bytes);
        }
    }
}
