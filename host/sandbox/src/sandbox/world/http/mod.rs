//! The client of `wasi:http`, in WASI 0.2 and 0.3. The interfaces are wasmtime's; what leaves the machine is ours.
//!
//! `send` sends a request to a peer that is granted and nobody else, over a connection of its own, with TLS by the host
//! (`tls`), and `body` is what comes back, after what `stream` lets through. No redirect is followed, and no proxy used. `texts`
//! bounds what a guest may say of a request, and `errors` is what it is told.
//! A guest's connections are tasks of its engine's runtime, which end with the store.

mod body;
mod errors;
mod send;
mod stream;
mod texts;
pub(in crate::sandbox) mod tls;

use super::net::{Peers, Refusals};
use super::pending::{Pending, begin};
use super::state::GuestState;
use crate::sandbox::module::imports;
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::Arc;
use wasmtime::component::{Component, Linker, Resource, ResourceTable, ResourceType};
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::client::{self, HostWithStore as _};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView as _,
};

/// The most bytes of a header section, sent or received, with what the host needs to keep it. Servers commonly take 8 KiB.
pub(in crate::sandbox) const MAX_FIELDS: usize = 64 << 10;

/// The most bytes of a body that a guest passes on at once, of which two pieces may wait.
const MAX_PIECE: usize = 64 << 10;

/// The most requests that a guest may have going on. Each has a connection, with buffers.
const MAX_REQUESTS: usize = 32;

/// Defines the interfaces if the component imports any of them.
pub(in crate::sandbox) fn define(
    linker: &mut Linker<GuestState>,
    component: &Component,
) -> wasmtime::Result<()> {
    let ty = component.component_type();
    let wants = |of: fn(&str) -> Option<&str>| {
        let mut names = ty.imports(linker.engine()).map(|(name, _)| name);
        names.any(|name| of(name).is_some_and(|interface| interface.starts_with("http/")))
    };
    let (preview2, preview3) = (wants(imports::preview2), wants(imports::preview3));
    if preview2 {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
        texts::define(linker)?;
        errors::define(linker)?;
    }
    if preview3 {
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
        texts::define_in_preview3(linker)?;
        define_sending(linker)?;
    }
    Ok(())
}

/// Defines how a request is sent in WASI 0.3, in place of wasmtime's function, to which it is passed.
fn define_sending(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    super::pending::replacing(linker, |linker| {
        let name = format!("wasi:http/client@{}", imports::PREVIEW3);
        let mut interface = linker.instance(&name)?;
        interface.func_wrap_concurrent("send", |accessor, (request,): (Resource<Request>,)| {
            let call = begin(accessor);
            Box::pin(async move {
                let _call = call?;
                let view = accessor.with_getter::<WasiHttp>(GuestState::http);
                match WasiHttp::send(&view, request).await {
                    Ok(response) => Ok((Ok(response),)),
                    Err(error) => Ok((Err::<_, client::ErrorCode>(error.downcast()?),)),
                }
            })
        })
    })
}

/// The resource with this name, as the host knows it.
pub(super) fn resource(name: &str, is_preview3: bool) -> Option<ResourceType> {
    use wasmtime_wasi_http::p2::bindings::http::types as p2;
    use wasmtime_wasi_http::p3::bindings::http::types as p3;
    if is_preview3 {
        return Some(match name {
            "fields" => ResourceType::host::<p3::Fields>(),
            "request" => ResourceType::host::<p3::Request>(),
            "request-options" => ResourceType::host::<p3::RequestOptions>(),
            "response" => ResourceType::host::<p3::Response>(),
            _ => return None,
        });
    }
    Some(match name {
        "fields" => ResourceType::host::<p2::Fields>(),
        "future-incoming-response" => ResourceType::host::<p2::FutureIncomingResponse>(),
        "future-trailers" => ResourceType::host::<p2::FutureTrailers>(),
        "incoming-body" => ResourceType::host::<p2::IncomingBody>(),
        "incoming-request" => ResourceType::host::<p2::IncomingRequest>(),
        "incoming-response" => ResourceType::host::<p2::IncomingResponse>(),
        "outgoing-body" => ResourceType::host::<p2::OutgoingBody>(),
        "outgoing-request" => ResourceType::host::<p2::OutgoingRequest>(),
        "outgoing-response" => ResourceType::host::<p2::OutgoingResponse>(),
        "request-options" => ResourceType::host::<p2::RequestOptions>(),
        "response-outparam" => ResourceType::host::<p2::ResponseOutparam>(),
        _ => return None,
    })
}

/// What the host keeps for a guest that uses HTTP.
pub(super) struct Http {
    context: WasiHttpCtx,
    sender: Sender,
}

impl Http {
    pub(super) fn new(peers: &Arc<Peers>, refusals: &Refusals) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(MAX_FIELDS);
        let sender = Sender {
            peers: Arc::clone(peers),
            refusals: refusals.clone(),
            requests: Pending::new(MAX_REQUESTS),
        };
        Self { context, sender }
    }

    pub(super) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView {
            hooks: &mut self.sender,
            table,
            ctx: &mut self.context,
        }
    }
}

/// Sends the requests of a guest.
struct Sender {
    peers: Arc<Peers>,
    refusals: Refusals,
    requests: Pending,
}

/// What goes on of a request once its response has begun.
type Exchange = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Sender {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Exchange,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Exchange), Error>> + Send> {
        let Ok(call) = self.requests.begin() else {
            self.refusals.note_requests(MAX_REQUESTS);
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let sent = send::send(
            Arc::clone(&self.peers),
            self.refusals.clone(),
            Arc::new(call),
            request,
            options.unwrap_or_default(),
        );
        Box::new(async {
            let (response, exchange) = sent.await?;
            let exchange: Exchange = Box::new(exchange);
            Ok((response.map(UnsyncBoxBody::new), exchange))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        MAX_PIECE
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        MAX_PIECE
    }
}
