//! `arguments`: what the command line reads, of arbitrary text. What parses prints so that it parses back.

use crate::bytes::seeds;
use crate::{Fuzz, Target, text};
use fastrand::Rng;
use rwasm_cluster::format::Format;
use rwasm_cluster::{ByteSize, Chunking, FailureSet, Policy, Targets, Tolerance};
use std::fmt::{Debug, Display};
use std::str::FromStr;

pub(crate) const TARGET: Target = Target {
    name: "arguments",
    about: "text into the parsers of options: chunks, sizes, targets, tolerances, policies, failures",
    runs: 200_000,
    start: || {
        let lines = seeds("arguments")
            .into_iter()
            .flat_map(|file| {
                let text = String::from_utf8(file).expect("seeds of options are text");
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        Box::new(Arguments { lines })
    },
};

struct Arguments {
    lines: Vec<String>,
}

/// The most that an error adds to the text it is about.
const LONGEST_ERROR: usize = 1024;

impl Fuzz for Arguments {
    fn input(&mut self, random: &mut Rng) -> Vec<u8> {
        let mut text = if random.u8(0..8) == 0 {
            (0..random.usize(0..32)).map(|_| random.char(..)).collect()
        } else {
            self.lines[random.usize(0..self.lines.len())].clone()
        };
        text::mutate(random, &mut text);
        text.into_bytes()
    }

    fn run(&mut self, input: &[u8]) {
        let text = String::from_utf8_lossy(input);
        parse::<Chunking>(&text);
        parse::<Targets>(&text);
        parse::<Tolerance>(&text);
        parse::<Policy>(&text);
        parse::<FailureSet>(&text);
        parse::<Format>(&text);
        // It prints for people, rounded.
        if let Ok(size) = text.parse::<ByteSize>() {
            let printed = size.to_string();
            assert!(printed.parse::<ByteSize>().is_ok(), "{printed}");
        }
    }
}

fn parse<T>(text: &str)
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(parsed) => {
            let printed = parsed.to_string();
            match printed.parse::<T>() {
                Ok(again) => assert_eq!(again, parsed, "{text:?} is printed as {printed:?}"),
                Err(error) => panic!("{text:?} is printed as {printed:?}: {error}"),
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                message.len() <= 4 * text.len() + LONGEST_ERROR,
                "an error of {} bytes about {}",
                message.len(),
                text.len()
            );
        }
    }
}
