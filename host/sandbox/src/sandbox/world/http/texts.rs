//! What a guest may say of a request that it makes: method, target and authority, which the host keeps until the request is
//! sent. wasmtime's own functions bound none of them. A text that is too long is refused as a malformed one is.

use super::super::pending::replacing;
use super::super::state::GuestState;
use crate::sandbox::module::imports::{PREVIEW2, PREVIEW3};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types as p3;

/// The longest method, authority and target, in bytes. Names of hosts have up to 253, and servers rarely take
/// targets of more than 8 KiB.
const MAX_METHOD: usize = 64;
const MAX_AUTHORITY: usize = 512;
const MAX_TARGET: usize = 16 << 10;

/// The store, and what a function was passed.
type Store<'a> = StoreContextMut<'a, GuestState>;
type Set = wasmtime::Result<(Result<(), ()>,)>;

fn fits(text: Option<&String>, most: usize) -> bool {
    text.is_none_or(|text| text.len() <= most)
}

/// Defines the functions of one version of WASI, whose types are their own: `$host`, `$request` and `$method`.
macro_rules! bounded {
    ($linker:expr, $version:expr, $resource:literal, $host:ident, $request:ident, $method:ident) => {
        replacing($linker, |linker| {
            let mut types = linker.instance(&format!("wasi:http/types@{}", $version))?;
            types.func_wrap(
                concat!("[method]", $resource, ".set-method"),
                |mut store: Store<'_>, (request, method): (Resource<$request>, $method)| -> Set {
                    if let $method::Other(text) = &method
                        && !fits(Some(text), MAX_METHOD)
                    {
                        return Ok((Err(()),));
                    }
                    let set = $host::set_method(&mut store.data_mut().http(), request, method);
                    Ok((set?,))
                },
            )?;
            types.func_wrap(
                concat!("[method]", $resource, ".set-authority"),
                |mut store: Store<'_>,
                 (request, text): (Resource<$request>, Option<String>)|
                 -> Set {
                    if !fits(text.as_ref(), MAX_AUTHORITY) {
                        return Ok((Err(()),));
                    }
                    let set = $host::set_authority(&mut store.data_mut().http(), request, text);
                    Ok((set?,))
                },
            )?;
            types.func_wrap(
                concat!("[method]", $resource, ".set-path-with-query"),
                |mut store: Store<'_>,
                 (request, text): (Resource<$request>, Option<String>)|
                 -> Set {
                    if !fits(text.as_ref(), MAX_TARGET) {
                        return Ok((Err(()),));
                    }
                    let set =
                        $host::set_path_with_query(&mut store.data_mut().http(), request, text);
                    Ok((set?,))
                },
            )
        })
    };
}

/// Defines the functions of WASI 0.2.
pub(super) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use p2::{HostOutgoingRequest as Host, Method, OutgoingRequest as Request};
    bounded!(linker, PREVIEW2, "outgoing-request", Host, Request, Method)
}

/// Defines the functions of WASI 0.3.
pub(super) fn define_in_preview3(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use p3::{HostRequest as Host, Method, Request};
    bounded!(linker, PREVIEW3, "request", Host, Request, Method)
}
