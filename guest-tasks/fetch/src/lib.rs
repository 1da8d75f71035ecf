//! Typed functions that send requests by HTTP, by WASI's own client.

mod exchange;

use contract::Guest;
use exchange::{Ask, body_of, respond, whole};
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingRequest, RequestOptions};

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        clippy::too_many_arguments,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "fetch" });
    use super::Fetch;
    export!(Fetch);
}

struct Fetch;

/// A millisecond, in the unit of WASI's durations.
const MILLISECOND: u64 = 1_000_000;

impl Guest for Fetch {
    fn get(url: String) -> Result<String, String> {
        whole(&Ask::get(&url).send()?).map_err(named)
    }

    fn send(method: String, url: String, header: String, body: String) -> Result<String, String> {
        let mut ask = Ask::get(&url);
        ask.method = Method::Other(method);
        ask.header = header.split_once(": ");
        ask.body = body.len() as u64;
        let (future, mut writer) = ask.begin()?;
        writer.write(body.as_bytes())?;
        writer.finish()?;
        whole(&respond(&future).map_err(named)?).map_err(named)
    }

    fn get_within(
        url: String,
        connect: u32,
        first_byte: u32,
        between_bytes: u32,
    ) -> Result<String, String> {
        let options = RequestOptions::new();
        let time = |milliseconds: u32| Some(u64::from(milliseconds) * MILLISECOND);
        let set = options
            .set_connect_timeout(time(connect))
            .and_then(|()| options.set_first_byte_timeout(time(first_byte)))
            .and_then(|()| options.set_between_bytes_timeout(time(between_bytes)));
        set.map_err(|()| "an option is not supported")?;
        let mut ask = Ask::get(&url);
        ask.options = Some(options);
        whole(&ask.send()?).map_err(named)
    }

    fn measure(url: String) -> Result<u64, String> {
        let response = Ask::get(&url).send()?;
        let mut size = 0;
        body_of(&response, |piece| size += piece.len() as u64).map_err(named)?;
        Ok(size)
    }

    fn upload(url: String, size: u64) -> Result<String, String> {
        const PIECE: usize = 4096;
        let mut ask = Ask::get(&url);
        (ask.method, ask.body) = (Method::Put, size);
        let (future, mut writer) = ask.begin()?;
        let mut left = size;
        while left > 0 {
            let next = left.min(PIECE as u64);
            writer.write(&[b'a'; PIECE][..usize::try_from(next).unwrap_or(PIECE)])?;
            left -= next;
        }
        writer.finish()?;
        whole(&respond(&future).map_err(named)?).map_err(named)
    }

    fn get_at_once(url: String, count: u32) -> Result<u32, String> {
        let begun: Vec<_> = (0..count)
            .map(|_| Ask::get(&url).begin())
            .collect::<Result<_, _>>()?;
        let mut futures = Vec::new();
        for (future, writer) in begun {
            writer.finish()?;
            futures.push(future);
        }
        let responses: Result<Vec<_>, _> = futures.iter().map(respond).collect();
        let count = responses.map_err(named)?.len();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn may_say(method: u32, authority: u32, target: u32) -> bool {
        let request = OutgoingRequest::new(Fields::new());
        let letters = |count: u32| "a".repeat(count as usize);
        let target = format!("/{}", letters(target.saturating_sub(1)));
        request.set_method(&Method::Other(letters(method))).is_ok()
            && request.set_authority(Some(&letters(authority))).is_ok()
            && request.set_path_with_query(Some(&target)).is_ok()
    }
}

/// An error as Rust shows it.
#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn named(error: ErrorCode) -> String {
    error.to_string()
}
