//! What the errors of the service and of its connection mean, and what may be done about them.

use std::error::Error as StdError;
use std::io;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::backend::remote::Fault;
use crate::error::{Error, Kind};
use crate::message::BackendName;

/// Why one attempt failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) next: Next,
    /// The service may have done it.
    pub(super) sent: bool,
    /// One of several items may be at fault.
    pub(super) divisible: bool,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It would fail again.
    Stop,
    /// Nobody is there; a few more tries tell.
    Unreachable,
    /// It may succeed in a moment.
    Again,
    /// The credentials have run out: others may be had.
    Renew,
    /// The table is not there; it may be created.
    Create,
}

impl Failure {
    pub(super) fn new(kind: Kind, next: Next, text: impl std::fmt::Display) -> Self {
        let retryable = matches!(next, Next::Again | Next::Unreachable);
        Self {
            error: Error::backend(kind, BackendName::Dynamodb, retryable, text),
            next,
            sent: false,
            divisible: false,
        }
    }

    /// Says that nobody knows whether it was done.
    pub(super) fn unsure(self) -> Self {
        Self {
            error: self
                .error
                .noted("It may have been done: read before you do it again."),
            ..self
        }
    }

    pub(super) fn fault(self) -> Fault {
        if self.divisible && self.error.kind() == Kind::Limit {
            Fault::Size(self.error)
        } else if self.divisible {
            Fault::Message(self.error)
        } else {
            Fault::Request(self.error)
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Whether a condition of the request did not hold.
pub(super) fn is_refused_condition<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    let service = error.as_service_error();
    service.and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// What `cause` means, told of the `table` at `place`.
pub(super) fn understand<E>(cause: &SdkError<E, HttpResponse>, table: &str, place: &str) -> Failure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    match cause {
        SdkError::ServiceError(error) => {
            let status = error.raw().status().as_u16();
            service(error.err(), status, table, place)
        }
        SdkError::TimeoutError(_) => Failure {
            sent: true,
            ..no_answer(place)
        },
        SdkError::DispatchFailure(failure) if failure.is_timeout() => no_answer(place),
        SdkError::ResponseError(_) => Failure {
            sent: true,
            ..Failure::new(
                Kind::Unavailable,
                Next::Again,
                format!(
                    "the answer of {place} broke off: {}. Try again.",
                    causes(cause)
                ),
            )
        },
        SdkError::DispatchFailure(_) => dispatch(cause, place),
        _ => Failure::new(
            Kind::Backend,
            Next::Stop,
            // Its cause may quote the whole request.
            "the request could not be made. Check the section dynamodb, and the AWS_ENDPOINT_URL variables.",
        ),
    }
}

fn no_answer(place: &str) -> Failure {
    let text = format!("no answer from {place}. Check the network, or raise dynamodb.timeout.");
    Failure::new(Kind::Timeout, Next::Again, text)
}

fn dispatch<E>(cause: &SdkError<E, HttpResponse>, place: &str) -> Failure
where
    E: StdError + Send + Sync + 'static,
{
    let why = causes(cause);
    let unreachable = matches!(
        io_kind(cause),
        Some(
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
        )
    ) || why.contains("dns error");
    if why.contains("credentials") || why.contains("identity") {
        let text = format!(
            "credentials could not be had: {why}. Check the profile, the role, or the environment that they come from."
        );
        return Failure::new(Kind::Authentication, Next::Renew, text);
    }
    let (next, advice) = if unreachable {
        (
            Next::Unreachable,
            "Check dynamodb.endpoint_url and region, and that it is running there.",
        )
    } else if why.contains("certificate") || why.contains("corrupt message") {
        (
            Next::Stop,
            "Check that dynamodb.endpoint_url has the right scheme (http or https), and the certificate.",
        )
    } else {
        (
            Next::Again,
            "Check the network, and that dynamodb.endpoint_url has the right scheme (http or https).",
        )
    };
    let verb = if unreachable {
        "cannot reach"
    } else {
        "no connection to"
    };
    Failure {
        sent: !unreachable,
        ..Failure::new(
            Kind::Unavailable,
            next,
            format!("{verb} {place}: {why}. {advice}"),
        )
    }
}

fn service<E: ProvideErrorMetadata>(error: &E, status: u16, table: &str, place: &str) -> Failure {
    let code = error.code().unwrap_or("no code");
    let said = error
        .message()
        .unwrap_or("no message")
        .trim_end_matches('.');
    if let Some(failure) = credentials(code, said, table, place) {
        return failure;
    }
    match code {
        "ResourceNotFoundException" => Failure::new(
            Kind::TableMissing,
            Next::Create,
            format!(
                "there is no table '{table}' at {place}. Create it with the string partition key \"key\", set \
                 dynamodb.create_table, or check table_name and region."
            ),
        ),
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "LimitExceededException" => Failure::new(
            Kind::Throttled,
            Next::Again,
            format!(
                "table '{table}' is throttled: {said}. Raise its capacity or use on-demand billing, or write slower."
            ),
        ),
        "ValidationException" if said.contains("Item size has exceeded") => Failure {
            divisible: true,
            ..Failure::new(
                Kind::Limit,
                Next::Stop,
                format!("table '{table}' refused the item: {said}. Split the value."),
            )
        },
        "ValidationException" if OTHER_KEYS.iter().any(|words| said.contains(words)) => {
            Failure::new(
                Kind::Backend,
                Next::Stop,
                format!(
                    "table '{table}' has another key: {said}. Use a table whose one partition key is the string \"key\"."
                ),
            )
        }
        "ValidationException" => Failure {
            divisible: true,
            ..Failure::new(
                Kind::Backend,
                Next::Stop,
                format!("table '{table}' refused the request: {said}."),
            )
        },
        "TransactionConflictException"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException"
        | "PriorRequestNotComplete"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServerErrorException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => unavailable(code, said, status, place),
        _ if status == 413 => Failure {
            divisible: true,
            ..Failure::new(
                Kind::Limit,
                Next::Stop,
                format!("{place} takes no request of this size (status 413). Split the value."),
            )
        },
        // Whoever answers without a code is not the service, but something on the way to it.
        _ if status >= 500 || error.code().is_none() => unavailable(code, said, status, place),
        _ => Failure::new(
            Kind::Backend,
            Next::Stop,
            format!("{place} refused the request: {code}, {said} (status {status})."),
        ),
    }
}

/// What the service and its emulators say of a table with another key.
const OTHER_KEYS: [&str; 5] = [
    "schema",
    "Missing the key",
    "required keys was not given",
    "number of conditions on the keys",
    "Type mismatch for key",
];

fn unavailable(code: &str, said: &str, status: u16, place: &str) -> Failure {
    let text = format!("{place} cannot do it now: {code}, {said} (status {status}). Try again.");
    Failure {
        sent: true,
        ..Failure::new(Kind::Unavailable, Next::Again, text)
    }
}

/// What is wrong with the credentials, if that is what it is.
fn credentials(code: &str, said: &str, table: &str, place: &str) -> Option<Failure> {
    let failure = |next, text| Failure::new(Kind::Authentication, next, text);
    Some(match code {
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => failure(
            Next::Renew,
            format!(
                "the credentials have run out ({code}). Renew them (such as aws sso login), and check the clock."
            ),
        ),
        // What the service says of a signature may quote the whole request, the session token included.
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => failure(
            // It may have been replaced since it was read.
            Next::Renew,
            format!(
                "{place} does not accept the signature ({code}). Check the secret access key, and the clock."
            ),
        ),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => failure(
            // They may have been replaced since they were read.
            Next::Renew,
            format!(
                "{place} does not know the credentials ({code}). Check the access key, and the region."
            ),
        ),
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => Failure {
            divisible: true,
            ..failure(
                Next::Stop,
                format!(
                    "access to table '{table}' is denied: {said}. Grant the IAM actions that docs/dynamodb.md lists."
                ),
            )
        },
        _ => return None,
    })
}

/// The texts of what caused an error, each once; never `Debug`, which may show a request.
pub(super) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !text.is_empty() && !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.retain(|text| text != "dispatch failure" && text != "io error" && text != "other");
    texts.join(": ")
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}
