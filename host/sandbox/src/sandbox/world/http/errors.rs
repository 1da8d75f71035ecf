//! What a guest is told of errors of its connections.

use super::super::pending::replacing;
use super::super::state::GuestState;
use super::MAX_FIELDS;
use crate::sandbox::module::imports::PREVIEW2;
use std::error::Error as _;
use std::io;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};
use wasmtime_wasi_http::{Error, WasiHttpView as _};

/// What a guest is told of an error of its connection.
pub(super) fn told(error: hyper::Error) -> Error {
    if error.is_parse_too_large() {
        let most = u32::try_from(MAX_FIELDS).ok();
        return Error::HttpResponseHeaderSectionSize(most);
    }
    if error.is_incomplete_message() {
        return Error::HttpResponseIncomplete;
    }
    if error.is_timeout() {
        return Error::HttpResponseTimeout;
    }
    let source = error.source();
    if source.is_some_and(<dyn std::error::Error>::is::<Error>) {
        // Of the body that the guest sent; wasmtime looks inside.
        return Error::Hyper(error);
    }
    let kind = source.and_then(|source| source.downcast_ref::<io::Error>());
    match kind.map(io::Error::kind) {
        // Of `stream`.
        Some(io::ErrorKind::QuotaExceeded) => Error::HttpResponseHeaderSectionSize(None),
        Some(io::ErrorKind::UnexpectedEof) => Error::HttpResponseIncomplete,
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) | None => {
            Error::HttpProtocolError
        }
        Some(_) => Error::ConnectionTerminated,
    }
}

/// Defines how a guest of WASI 0.2 learns why the body of a response has ended, in place of wasmtime's function: that knows
/// errors of another type than those that bodies have, and so tells none.
pub(super) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    replacing(linker, |linker| {
        let mut types = linker.instance(&format!("wasi:http/types@{PREVIEW2}"))?;
        types.func_wrap(
            "http-error-code",
            |mut store: StoreContextMut<'_, GuestState>, (error,): (Resource<IoError>,)| {
                let mut view = store.data_mut().http();
                let of_body = view.table.get(&error)?.downcast_ref().map(code);
                match of_body {
                    Some(code) => Ok((Some(code),)),
                    None => Ok((types::Host::http_error_code(&mut view, error)?,)),
                }
            },
        )
    })
}

/// The code of an error that the body of a response has.
fn code(error: &Error) -> ErrorCode {
    match error {
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpResponseHeaderSectionSize(size) => {
            // Of what follows the body, at its end.
            ErrorCode::HttpResponseTrailerSectionSize(*size)
        }
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        _ => ErrorCode::HttpProtocolError,
    }
}
