//! How gRPC says an outcome: a coded [`Error`] as a `Status` with `google.rpc` details, and back again for the client.
//!
//! `ErrorInfo.reason` is the code's name, its domain is `overread`; `BadRequest` names the field, `ResourceInfo` the
//! instance, study, series or model; `RetryInfo` is there where waiting helps. The set is closed: a status without our
//! `ErrorInfo` comes from the transport and is mapped by its gRPC code.
use std::{collections::HashMap, time::Duration};

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::{Code, Error, Grpc, Retry, Subject};

const DOMAIN: &str = "overread";
/// When trying again can help, this is soon enough for a queue to drain and late enough not to add to it.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// The answer for `error`: handled here, so logged here, once.
pub(super) fn said(error: &Error) -> Status {
    match error.code {
        Code::Internal | Code::StorageFull | Code::DeviceLost => {
            tracing::error!(code = %error.code, "call failed: {}", error.detail)
        }
        code => tracing::debug!(%code, "call refused"),
    }
    status(error)
}

/// The status of `error`, with details.
fn status(error: &Error) -> Status {
    let row = error.code.row();
    let mut metadata =
        HashMap::from([("detail".to_owned(), error.detail.clone()), ("remedy".to_owned(), row.remedy.to_owned())]);
    let mut details = ErrorDetails::new();
    match &error.subject {
        Subject::None => {}
        Subject::Field(field) => {
            details.add_bad_request_violation(field.clone(), error.detail.clone());
        }
        Subject::Tag(group, element) => {
            metadata.insert("tag".to_owned(), format!("{group:04X},{element:04X}"));
        }
        Subject::Instance(name) => resource(&mut details, RESOURCE_INSTANCE, name, error),
        Subject::Series(name) => resource(&mut details, RESOURCE_SERIES, name, error),
        Subject::Study(name) => resource(&mut details, RESOURCE_STUDY, name, error),
        Subject::Model(name) => resource(&mut details, RESOURCE_MODEL, name, error),
    }
    details.set_error_info(row.name, DOMAIN, metadata);
    if row.retry == Retry::Later {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    Status::with_error_details(grpc_code(row.grpc), error.to_string(), details)
}

const RESOURCE_INSTANCE: &str = "overread.v1/Instance";
const RESOURCE_SERIES: &str = "overread.v1/Series";
const RESOURCE_STUDY: &str = "overread.v1/Study";
const RESOURCE_MODEL: &str = "overread.v1/Model";

fn resource(details: &mut ErrorDetails, kind: &str, name: &str, error: &Error) {
    details.set_resource_info(kind, name, "", error.detail.clone());
}

fn grpc_code(grpc: Grpc) -> tonic::Code {
    tonic::Code::from_i32(grpc as i32)
}

/// What a status that came over the wire says, as our error. Text of the transport is not taken over.
pub(super) fn error(status: &Status) -> Error {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    let Some((info, code)) = info.and_then(|info| Some((info, Code::from_name(&info.reason)?))) else {
        return transport_error(status.code());
    };
    let detail = info.metadata.get("detail").cloned().unwrap_or_default();
    Error { code, subject: subject(&details), detail }
}

fn subject(details: &ErrorDetails) -> Subject {
    if let Some(violation) = details.bad_request().and_then(|bad| bad.field_violations.first()) {
        return Subject::Field(violation.field.clone());
    }
    if let Some(resource) = details.resource_info() {
        let name = resource.resource_name.clone();
        return match resource.resource_type.as_str() {
            RESOURCE_INSTANCE => Subject::Instance(name),
            RESOURCE_SERIES => Subject::Series(name),
            RESOURCE_STUDY => Subject::Study(name),
            RESOURCE_MODEL => Subject::Model(name),
            _ => Subject::None,
        };
    }
    let tag = details.error_info().and_then(|info| info.metadata.get("tag"));
    match tag.and_then(|tag| tag.split_once(',')) {
        Some((group, element)) => match (u16::from_str_radix(group, 16), u16::from_str_radix(element, 16)) {
            (Ok(group), Ok(element)) => Subject::Tag(group, element),
            _ => Subject::None,
        },
        None => Subject::None,
    }
}

/// The transport's own ends: connection gone, message too large, call unknown.
fn transport_error(code: tonic::Code) -> Error {
    use tonic::Code as T;
    match code {
        T::Cancelled => Error::new(Code::Cancelled, "the call was withdrawn, or the connection broke"),
        T::DeadlineExceeded => Error::new(Code::DeadlineExceeded, "the caller's time ran out"),
        T::Unavailable | T::Aborted => {
            Error::new(Code::ShuttingDown, "the server cannot be reached, or the connection to it broke")
        }
        T::ResourceExhausted => Error::new(Code::Busy, "the server takes no more calls now"),
        T::OutOfRange => {
            Error::new(Code::InvalidArgument, "a message is larger than 2 MiB; send chunks of at most 1 MiB")
        }
        T::InvalidArgument | T::FailedPrecondition => Error::new(Code::InvalidArgument, "the request is not valid"),
        T::Unimplemented => Error::new(Code::InvalidArgument, "the server does not offer this call"),
        T::NotFound => Error::new(Code::NotFound, "there is no such thing on the server"),
        T::AlreadyExists => Error::new(Code::AlreadyExists, "it exists already"),
        T::PermissionDenied => Error::new(Code::PermissionDenied, "the server does not allow it"),
        T::Unauthenticated => Error::new(Code::Unauthenticated, "the server does not know the caller"),
        T::Ok | T::Unknown | T::Internal | T::DataLoss => {
            Error::internal("the connection to the server failed in an unexpected way")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TABLE;

    #[test]
    fn every_code_and_subject_survives_the_wire() {
        let subjects = [
            Subject::None,
            Subject::Instance("1.2.3".to_owned()),
            Subject::Series("1.2".to_owned()),
            Subject::Study("1.2".to_owned()),
            Subject::Tag(0x0028, 0x0010),
            Subject::Field("filter.state".to_owned()),
            Subject::Model("chest".to_owned()),
        ];
        for row in TABLE {
            for subject in &subjects {
                let sent = Error::new(row.code, "said for a person").about(subject.clone());
                let status = status(&sent);
                assert_eq!(status.code() as i32, row.grpc as i32);
                assert_eq!(error(&status), sent);
                let retry = status.get_error_details().retry_info().is_some();
                assert_eq!(retry, row.retry == Retry::Later, "{}", row.name);
            }
        }
    }

    #[test]
    fn text_of_a_foreign_status_is_not_taken_over() {
        let foreign = Status::unknown("/srv/secret/path exploded");
        assert!(!error(&foreign).to_string().contains("secret"));
    }
}
