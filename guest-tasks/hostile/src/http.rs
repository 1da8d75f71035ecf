//! Requests to the server that the variable `SERVER` names.

#![allow(dead_code, reason = "each guest uses what it needs")]

use std::env;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, OutgoingRequest, Scheme,
};

pub(crate) fn request(authority: &str) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some("/")))
        .expect("it is well formed");
    request
}

pub(crate) fn server() -> String {
    env::var("SERVER").expect("there is a server")
}

pub(crate) fn ask(authority: &str) -> Result<IncomingResponse, ErrorCode> {
    respond(&handle(request(authority), None)?)
}

pub(crate) fn respond(future: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    loop {
        if let Some(response) = future.get() {
            return response.expect("it is taken once");
        }
        future.subscribe().block();
    }
}
