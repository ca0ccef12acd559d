//! What the errors of a server and of its connection mean, and what may be done about them.

use std::error::Error as StdError;
use std::io;

use etcd_client::Error as EtcdError;

use super::member::Member;
use crate::backend::remote::Fault;
use crate::error::{Error, Kind};
use crate::message::BackendName;

/// Why one attempt failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) next: Next,
    /// The request may have reached the server.
    pub(super) sent: bool,
    pub(super) about: About,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The request as a whole.
    Request,
    /// One of its keys, or several.
    Keys,
    /// Its size, or the number of its keys.
    Size,
    /// The connection, which is of no more use.
    Connection,
    /// The revision asked for, which is no longer kept.
    Revision,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It would fail again.
    Stop,
    /// This member cannot be reached; another may.
    Elsewhere,
    /// It may succeed in a moment, here or elsewhere.
    Again,
}

impl Failure {
    /// How much it tells of what is wrong: that nobody is there, that nobody answers, or what somebody said.
    pub(super) fn telling(&self) -> u8 {
        match (self.next, self.error.kind()) {
            (Next::Elsewhere, _) => 0,
            (_, Kind::Timeout) => 1,
            _ => 2,
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
        match self.about {
            About::Keys => Fault::Message(self.error),
            About::Size => Fault::Size(self.error),
            About::Request | About::Connection | About::Revision => Fault::Request(self.error),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Whether the server no longer takes the token: it has expired, or users or roles have changed since.
pub(super) fn is_stale_token(error: &EtcdError) -> bool {
    let EtcdError::GRpcStatus(status) = error else {
        return false;
    };
    let message = status.message();
    message.contains("invalid auth token")
        || message.contains("revision of auth store is old")
        // As 3.5 words it.
        || message.contains("revision in header")
}

/// What `cause` means, told of `member`.
pub(super) fn understand(cause: &EtcdError, member: &Member, tls: bool, sent: bool) -> Failure {
    let address = &member.address;
    let failure = |kind, next, text: String| Failure {
        error: Error::backend(kind, BackendName::Etcd, next != Next::Stop, text),
        next,
        sent,
        about: About::Request,
    };
    let divisible = |failure: Failure| Failure {
        about: About::Keys,
        ..failure
    };
    let EtcdError::GRpcStatus(status) = cause else {
        return connection(cause, address, tls, sent);
    };
    // The names of the codes, since the crate that they come from is not ours.
    let code = format!("{:?}", status.code());
    let message = status.message();
    let said = message.strip_prefix("etcdserver: ").unwrap_or(message);
    if let Some(text) = credentials(&code, said, address) {
        return failure(Kind::Authentication, Next::Stop, text);
    }
    // These leave open what became of the request; all others refuse it.
    let sent = sent
        && matches!(
            code.as_str(),
            "Unavailable" | "DeadlineExceeded" | "Cancelled" | "Aborted" | "Unknown" | "Internal"
        );
    let failure = |kind, next, text| Failure {
        sent,
        ..failure(kind, next, text)
    };
    match code.as_str() {
        _ if status.source().is_some() => connection(cause, address, tls, sent),
        "OutOfRange" if said.contains("compacted") => Failure {
            about: About::Revision,
            ..failure(
                Kind::Backend,
                Next::Stop,
                format!(
                    "{address} has compacted the revision of the list: {said}. Begin the list anew."
                ),
            )
        },
        "PermissionDenied" => divisible(failure(
            Kind::Authentication,
            Next::Stop,
            format!(
                "{address} denies the user this key: {said}. Grant a role that may read and write it \
                 (etcdctl role grant-permission)."
            ),
        )),
        "InvalidArgument" if said.contains("request is too large") => {
            too_large(address, said, sent)
        }
        "ResourceExhausted" if said.contains("larger than max") => too_large(address, said, sent),
        "InvalidArgument" if said.contains("too many operations") => Failure {
            about: About::Size,
            ..failure(
                Kind::Backend,
                Next::Stop,
                format!(
                    "{address} takes fewer keys in one transaction: {said}. Raise its --max-txn-ops."
                ),
            )
        },
        "ResourceExhausted" if said.contains("database space exceeded") => failure(
            Kind::Backend,
            Next::Again,
            format!(
                "{address} is full: {said}. Compact and defragment it, then disarm the alarm \
                 (etcdctl compact, defrag, alarm disarm), or raise --quota-backend-bytes."
            ),
        ),
        "ResourceExhausted" => failure(
            Kind::Throttled,
            Next::Again,
            format!(
                "{address} has too much to do: {said}. Send less at once, or give it more resources."
            ),
        ),
        // "raft proposal dropped" and "context canceled" come as Unknown.
        "Unavailable" | "DeadlineExceeded" | "Cancelled" | "Aborted" | "Unknown" | "Internal" => {
            failure(
                Kind::Unavailable,
                Next::Again,
                format!(
                    "{address} cannot do it now: {said}. It is tried again until etcd.timeout; check the cluster's health."
                ),
            )
        }
        _ => failure(
            Kind::Backend,
            Next::Stop,
            format!("{address} refused the request: {said} ({code}). See the server's log."),
        ),
    }
}

/// What is wrong with the user, if that is what it is.
fn credentials(code: &str, said: &str, address: &str) -> Option<String> {
    Some(match code {
        "InvalidArgument" if said.starts_with("authentication failed") => {
            format!("{address} refused the user: {said}. Check etcd.username and etcd.password.")
        }
        "InvalidArgument" if said.contains("user name is empty") => {
            format!("{address} asks for a user. Set etcd.username and etcd.password.")
        }
        "FailedPrecondition" if said.contains("authentication is not enabled") => format!(
            "{address} knows no users: authentication is not enabled there. Enable it (etcdctl auth enable), \
                 or leave out etcd.username and etcd.password."
        ),
        "Unauthenticated" => format!(
            "{address} does not take the token of the user: {said}. Check etcd.username and etcd.password."
        ),
        _ => return None,
    })
}

fn too_large(address: &str, said: &str, sent: bool) -> Failure {
    let text = format!(
        "{address} refused the message: {said}. Split the value, or raise --max-request-bytes of the server."
    );
    Failure {
        error: Error::backend(Kind::Limit, BackendName::Etcd, false, text),
        next: Next::Stop,
        sent,
        about: About::Size,
    }
}

/// A connection that could not be made, or broke.
fn connection(cause: &EtcdError, address: &str, tls: bool, sent: bool) -> Failure {
    let why = causes(cause);
    let handshake = [
        "certificate",
        "tls",
        "TLS",
        "alert",
        "InvalidContentType",
        "corrupt message",
    ]
    .iter()
    .any(|word| why.contains(word));
    let refused = io_kind(cause).is_some_and(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
        )
    }) || why.contains("dns error");
    let (next, advice) = if why.contains("KeyMismatch") {
        (
            Next::Stop,
            "etcd.key_file is not the key of etcd.cert_file: name the two that belong together.",
        )
    } else if why.contains("UnsupportedCertVersion") {
        (
            Next::Stop,
            "A certificate, the server's or that of etcd.cert_file, is of version 1: make it with extensions, as \
             version 3.",
        )
    } else if handshake && tls {
        (
            Next::Elsewhere,
            "Check that the server speaks TLS, and etcd.ca_cert_file, cert_file and key_file.",
        )
    } else if refused {
        (
            Next::Elsewhere,
            "Check that etcd is running there, and etcd.host, port or endpoints.",
        )
    } else if tls {
        (
            Next::Again,
            "Check that the server speaks TLS; if it asks for a client certificate, set etcd.cert_file and key_file.",
        )
    } else {
        (
            Next::Again,
            "Check the server; if it speaks TLS, set etcd.use_ssl.",
        )
    };
    let verb = if refused {
        "cannot reach"
    } else {
        "no connection to"
    };
    let text = format!("{verb} {address}: {why}. {advice}");
    Failure {
        error: Error::backend(Kind::Unavailable, BackendName::Etcd, true, text),
        next,
        sent: sent && !refused && !(handshake && tls),
        about: About::Connection,
    }
}

/// The texts of an error and of what caused it, each once.
fn causes(error: &EtcdError) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next: Option<&dyn StdError> = match error {
        EtcdError::GRpcStatus(status) => {
            texts.push(status.message().to_owned());
            status.source()
        }
        EtcdError::TransportError(error) => Some(error),
        other => Some(other),
    };
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.retain(|text| !text.is_empty() && text != "transport error");
    texts.join(": ")
}

fn io_kind(error: &EtcdError) -> Option<io::ErrorKind> {
    let mut next: Option<&dyn StdError> = match error {
        EtcdError::GRpcStatus(status) => status.source(),
        EtcdError::TransportError(error) => Some(error),
        EtcdError::IoError(error) => return Some(error.kind()),
        _ => None,
    };
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}
