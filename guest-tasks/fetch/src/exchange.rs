//! One request and its response.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// How much of a body is read at a time.
const READ: u64 = 65_536;

/// What is asked for.
pub(crate) struct Ask<'a> {
    url: &'a str,
    pub(crate) method: Method,
    pub(crate) header: Option<(&'a str, &'a str)>,
    /// How long the body is that is sent.
    pub(crate) body: u64,
    pub(crate) options: Option<RequestOptions>,
}

/// Takes the body of a request, if it has one.
pub(crate) struct Writer(Option<(OutgoingBody, OutputStream)>);

impl<'a> Ask<'a> {
    pub(crate) fn get(url: &'a str) -> Self {
        Self {
            url,
            method: Method::Get,
            header: None,
            body: 0,
            options: None,
        }
    }

    /// Sends the request without a body, and waits for the response.
    pub(crate) fn send(self) -> Result<IncomingResponse, String> {
        let (future, writer) = self.begin()?;
        writer.finish()?;
        respond(&future).map_err(|error| error.to_string())
    }

    /// Begins to send the request.
    pub(crate) fn begin(self) -> Result<(FutureIncomingResponse, Writer), String> {
        let fields = Fields::new();
        if let Some((name, value)) = self.header {
            let set = fields.append(name, value.as_bytes());
            set.map_err(|error| error.to_string())?;
        }
        if self.body > 0 {
            let length = self.body.to_string();
            let set = fields.append("content-length", length.as_bytes());
            set.map_err(|error| error.to_string())?;
        }
        let (scheme, rest) = self.url.split_once("://").ok_or("not a URL")?;
        let (authority, path) = match rest.find('/') {
            Some(place) => rest.split_at(place),
            None => (rest, "/"),
        };
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        let request = OutgoingRequest::new(fields);
        let said = request
            .set_method(&self.method)
            .and_then(|()| request.set_scheme(Some(&scheme)))
            .and_then(|()| request.set_authority(Some(authority)))
            .and_then(|()| request.set_path_with_query(Some(path)));
        said.map_err(|()| "malformed")?;
        let mut writer = Writer(None);
        if self.body > 0 {
            let body = request.body().map_err(|()| "no body")?;
            let stream = body.write().map_err(|()| "no stream")?;
            writer.0 = Some((body, stream));
        }
        let future = handle(request, self.options).map_err(|error| error.to_string())?;
        Ok((future, writer))
    }
}

impl Writer {
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let Some((_, stream)) = &mut self.0 else {
            return Ok(());
        };
        while !bytes.is_empty() {
            stream.subscribe().block();
            let room = stream.check_write().map_err(|error| error.to_string())?;
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            stream.write(now).map_err(|error| error.to_string())?;
            bytes = later;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), String> {
        let Some((body, stream)) = self.0 else {
            return Ok(());
        };
        drop(stream);
        OutgoingBody::finish(body, None).map_err(|error| error.to_string())
    }
}

/// Waits for the response.
pub(crate) fn respond(future: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    loop {
        if let Some(response) = future.get() {
            return response.expect("it is taken once");
        }
        future.subscribe().block();
    }
}

/// A response as text.
pub(crate) fn whole(response: &IncomingResponse) -> Result<String, ErrorCode> {
    let mut text = format!("{}\n", response.status());
    for (name, value) in response.headers().entries() {
        text.extend([&*name, ": ", &String::from_utf8_lossy(&value), "\n"]);
    }
    let mut body = Vec::new();
    body_of(response, |piece| body.extend(piece))?;
    Ok(text + "\n" + &String::from_utf8_lossy(&body))
}

/// Reads the body, piece by piece.
pub(crate) fn body_of(
    response: &IncomingResponse,
    mut take: impl FnMut(&[u8]),
) -> Result<(), ErrorCode> {
    let body = response.consume().expect("it is taken once");
    let stream = body.stream().expect("it is taken once");
    loop {
        match stream.blocking_read(READ) {
            Ok(piece) => take(&piece),
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                return Err(code.unwrap_or(ErrorCode::InternalError(None)));
            }
        }
    }
}
