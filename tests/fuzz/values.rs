//! `values`: every form of a value gives the value back, and none takes what is not a value.

use crate::types::{any_type, value_of};
use crate::{Fuzz, Target, bytes, text};
use arbitrary::Unstructured;
use fastrand::Rng;
use rwasm_cluster::format::{
    Call, Format, WriteOptions, arguments_from_line, arguments_from_text, from_json, from_text,
    from_wave, to_json, to_wave, write_value,
};
use rwasm_cluster::{Packed, Type, Value};

pub(crate) const TARGET: Target = Target {
    name: "values",
    about: "values and text of all types through the packed form, JSON, WAVE and argument lines",
    runs: 30_000,
    start: || {
        let seeds = bytes::seeds("values").into_iter();
        let texts = seeds.map(|seed| String::from_utf8(seed).expect("seeds of values are text"));
        Box::new(Values {
            texts: texts.collect(),
        })
    },
};

struct Values {
    texts: Vec<String>,
}

impl Fuzz for Values {
    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        bytes::random(random, 2048)
    }

    fn run(&mut self, input: &[u8]) {
        let mut bytes = Unstructured::new(input);
        let ty = any_type(&mut bytes).expect("bytes that are used up are zeros");
        let value = value_of(&mut bytes, &ty).expect("bytes that are used up are zeros");
        round_trips(&ty, &value);

        // From here on, what is read may be anything.
        let mut random = Rng::with_seed(bytes.arbitrary().unwrap_or_default());
        let packed = Packed::pack(&value, &ty).expect("it is of its type");
        let mut wire = packed.to_wire();
        bytes::mutate(&mut random, &mut wire, &[]);
        unpacked(&ty, &wire);
        unpacked(&ty, input);

        let mut texts = vec![to_wave(&value), to_json(&value).to_string()];
        if let Some(text) = random.choice(&self.texts) {
            texts.push(text.clone());
        }
        texts.push(String::from_utf8_lossy(input).into_owned());
        for mut text in texts {
            if random.bool() {
                text::mutate(&mut random, &mut text);
            }
            read(&ty, &text);
        }
    }
}

fn round_trips(ty: &Type, value: &Value) {
    let packed = Packed::pack(value, ty).unwrap_or_else(|error| panic!("{ty}: {error}"));
    assert_eq!(packed.unpack().as_ref(), Ok(value), "{ty}");
    let again = Packed::from_wire(ty.clone(), &packed.to_wire());
    assert_eq!(again.as_ref(), Ok(&packed), "{ty}");

    let json = to_json(value);
    let from = from_json(&json, ty).unwrap_or_else(|error| panic!("{ty}: {json}: {error}"));
    assert_eq!(&from, value, "{ty}: {json}");
    let printed = json.to_string();
    let parsed = serde_json::from_str(&printed).expect("what is printed is JSON");
    let from = from_json(&parsed, ty).unwrap_or_else(|error| panic!("{ty}: {printed}: {error}"));
    assert_eq!(&from, value, "{ty}: {printed}");

    let wave = to_wave(value);
    let from = from_wave(&wave, ty).unwrap_or_else(|error| panic!("{ty}: {wave}: {error}"));
    assert_eq!(&from, value, "{ty}: {wave}");

    for format in Format::ALL {
        for escape_control in [false, true] {
            let mut out = Vec::new();
            let written = write_value(&mut out, value, format, WriteOptions { escape_control });
            assert!(written.is_ok() || format == Format::Raw, "{ty}: {format}");
            if escape_control && format != Format::Raw {
                let shown = |byte: &u8| *byte >= b' ' && *byte != 0x7f || b"\t\n".contains(byte);
                assert!(out.iter().all(shown), "{ty}: {format}: {out:?}");
            }
        }
    }
}

/// What is taken as a value's wire form is that of a value, and of no other.
fn unpacked(ty: &Type, wire: &[u8]) {
    if let Ok(packed) = Packed::from_wire(ty.clone(), wire) {
        let value = packed.unpack().expect("what is packed is well formed");
        let again = Packed::pack(&value, ty).expect("it is of its type");
        assert_eq!(again.payload(), packed.payload(), "{ty}");
        assert_eq!(packed.to_wire(), wire, "{ty}");
    }
}

/// What is read as a value is one.
fn read(ty: &Type, text: &str) {
    let values = [
        from_text(text, ty).ok(),
        from_wave(text, ty).ok(),
        serde_json::from_str(text)
            .ok()
            .and_then(|json| from_json(&json, ty).ok()),
    ];
    for value in values.into_iter().flatten() {
        Packed::pack(&value, ty).unwrap_or_else(|error| panic!("{text:?} as {ty}: {error}"));
    }
    let one = [("first".to_owned(), ty.clone())];
    let two = [&one[..], &[("second".to_owned(), Type::option(ty.clone()))]].concat();
    for params in [&[][..], &one, &two] {
        for values in [
            arguments_from_line(params, text).ok(),
            arguments_from_text(params, &[text]).ok(),
            Call::parse(text)
                .ok()
                .and_then(|call| call.arguments(params).ok()),
        ]
        .into_iter()
        .flatten()
        {
            assert_eq!(values.len(), params.len(), "{text:?} as {ty}");
        }
    }
}
