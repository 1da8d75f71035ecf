//! Why a server did not do what was asked of `JetStream`, whichever request it was.

use super::assets::AssetError;
use super::refusal::ConnectError;
use async_nats::jetstream::ErrorCode;
use rwasm_value::units::ByteSize;

/// A server's reply to a failed request.
pub(crate) enum Problem {
    Server(async_nats::jetstream::Error),
    /// Nobody there serves JetStream.
    NobodyAnswers,
    Silent,
    Other(String),
}

impl Problem {
    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Server(error) if error.error_code() == code)
    }

    /// Whether a message was not stored for lack of room.
    pub(crate) fn is_full(&self) -> bool {
        let Self::Server(error) = self else {
            return false;
        };
        match error.error_code() {
            ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => true,
            // Of several meanings, which its text tells apart.
            ErrorCode::STREAM_STORE_FAILED => error.to_string().contains("maximum"),
            _ => false,
        }
    }

    /// The problem of creating or finding an asset.
    pub(crate) fn of(self, what: &str, replicas: usize, max_bytes: i64) -> AssetError {
        let what = what.to_owned();
        let error = match self {
            Self::NobodyAnswers => return AssetError::JetStreamOff,
            Self::Silent => return AssetError::Silent { what },
            Self::Other(reason) => return AssetError::Refused { what, reason },
            Self::Server(error) => error,
        };
        match error.error_code() {
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                AssetError::JetStreamOff
            }
            ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND => {
                AssetError::Missing { what }
            }
            ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => AssetError::NoRoom {
                what,
                wanted: ByteSize::new(u64::try_from(max_bytes).unwrap_or_default()),
            },
            // Where servers are full, peers are not suitable either: the server says which in its text.
            ErrorCode::CLUSTER_NO_PEERS if error.to_string().contains("insufficient storage") => {
                AssetError::NoRoom {
                    what,
                    wanted: ByteSize::new(u64::try_from(max_bytes).unwrap_or_default()),
                }
            }
            ErrorCode::CLUSTER_NO_PEERS | ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED => {
                AssetError::TooFewServers { what, replicas }
            }
            _ => AssetError::Refused {
                what,
                reason: error.to_string(),
            },
        }
    }

    /// The problem of reading an asset of a cluster that is set up.
    pub(crate) fn found(self, what: &str, url: &str) -> ConnectError {
        match self {
            Self::Other(reason) => ConnectError::Unreachable {
                url: url.to_owned(),
                reason,
            },
            Self::Server(error)
                if !matches!(
                    error.error_code(),
                    ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND
                ) =>
            {
                ConnectError::Unreachable {
                    url: url.to_owned(),
                    reason: format!("it reports for {what}: {error}"),
                }
            }
            problem => problem.of(what, 0, 0).into(),
        }
    }

    /// The innermost known error: the client wraps a server's replies in errors of its own.
    fn within(error: &(dyn std::error::Error + 'static)) -> Self {
        use async_nats::RequestErrorKind;
        use async_nats::jetstream::context::{
            CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind,
            RequestError as JsRequestError, RequestErrorKind as JsRequestErrorKind,
        };
        use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
        let mut source = Some(error);
        let mut last = error.to_string();
        while let Some(error) = source {
            last = error.to_string();
            if let Some(error) = error.downcast_ref::<async_nats::jetstream::Error>() {
                return Self::Server(error.clone());
            }
            if let Some(error) = error.downcast_ref::<CreateStreamError>() {
                match error.kind() {
                    CreateStreamErrorKind::JetStream(error) => return Self::Server(error),
                    CreateStreamErrorKind::JetStreamUnavailable => return Self::NobodyAnswers,
                    CreateStreamErrorKind::TimedOut => return Self::Silent,
                    _ => {}
                }
            }
            if let Some(error) = error.downcast_ref::<GetStreamError>()
                && let GetStreamErrorKind::JetStream(error) = error.kind()
            {
                return Self::Server(error);
            }
            if let Some(error) = error.downcast_ref::<ConsumerError>() {
                match error.kind() {
                    ConsumerErrorKind::JetStream(error) => return Self::Server(error),
                    ConsumerErrorKind::TimedOut => return Self::Silent,
                    _ => {}
                }
            }
            if let Some(error) = error.downcast_ref::<JsRequestError>() {
                match error.kind() {
                    JsRequestErrorKind::NoResponders => return Self::NobodyAnswers,
                    JsRequestErrorKind::TimedOut => return Self::Silent,
                    _ => {}
                }
            }
            if let Some(error) = error.downcast_ref::<async_nats::RequestError>() {
                match error.kind() {
                    RequestErrorKind::NoResponders => return Self::NobodyAnswers,
                    RequestErrorKind::TimedOut => return Self::Silent,
                    _ => {}
                }
            }
            source = error.source();
        }
        Self::Other(last)
    }
}

impl<E: std::error::Error + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::within(&error)
    }
}
