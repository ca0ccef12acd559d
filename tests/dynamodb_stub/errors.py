"""The errors of DynamoDB, with the type, status and text that the service itself sends."""

from __future__ import annotations

import json
from typing import Any

CORAL_SERVICE = "com.amazon.coral.service"
CORAL_VALIDATE = "com.amazon.coral.validate"
DYNAMODB = "com.amazonaws.dynamodb.v20120810"

NAMESPACES = {
    "ValidationException": CORAL_VALIDATE,
    "AccessDeniedException": CORAL_SERVICE,
    "ExpiredTokenException": CORAL_SERVICE,
    "IncompleteSignatureException": CORAL_SERVICE,
    "InvalidSignatureException": CORAL_SERVICE,
    "MissingAuthenticationTokenException": CORAL_SERVICE,
    "SerializationException": CORAL_SERVICE,
    "UnknownOperationException": CORAL_SERVICE,
    "UnrecognizedClientException": CORAL_SERVICE,
}

# These two spell their text with a capital, all others do not; clients have to read both.
CAPITAL_MESSAGE = {"AccessDeniedException", "SerializationException"}

STATUSES = {"InternalServerError": 500, "ServiceUnavailable": 503}

BAD_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)

TEXTS = {
    "AccessDeniedException": (
        "User: arn:aws:iam::123456789012:user/tester is not authorized to perform this operation because no "
        "identity-based policy allows it"
    ),
    "ConditionalCheckFailedException": "The conditional request failed",
    "ExpiredTokenException": "The security token included in the request is expired",
    "InternalServerError": "Internal server error",
    "InvalidSignatureException": BAD_SIGNATURE,
    "MissingAuthenticationTokenException": "Request is missing Authentication Token",
    "ProvisionedThroughputExceededException": (
        "The level of configured provisioned throughput for the table was exceeded. Consider increasing your "
        "provisioning level with the UpdateTable API."
    ),
    "RequestLimitExceeded": (
        "Throughput exceeds the current throughput limit for your account. Please contact AWS Support at "
        "https://aws.amazon.com/support request a limit increase"
    ),
    "ResourceNotFoundException": "Requested resource not found",
    "ServiceUnavailable": "Service is currently unavailable. Try again later.",
    "ThrottlingException": (
        "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling "
        "your table or index so please try again shortly."
    ),
    "UnrecognizedClientException": "The security token included in the request is invalid.",
}

ITEM_TOO_LARGE = "Item size has exceeded the maximum allowed size"
DUPLICATE_KEYS = "Provided list of item keys contains duplicates"
KEY_MISMATCH = "The provided key element does not match the schema"


class ApiError(Exception):
    """An error answer of the service."""

    def __init__(self, code: str, message: str | None = None, item: dict[str, Any] | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = TEXTS.get(code) if message is None else message
        self.status = STATUSES.get(code, 400)
        self.item = item
        """The old item, where a failed condition was told to bring it."""

    def body(self) -> bytes:
        """The answer's JSON."""
        answer: dict[str, Any] = {"__type": f"{NAMESPACES.get(self.code, DYNAMODB)}#{self.code}"}
        if self.message is not None:
            answer["Message" if self.code in CAPITAL_MESSAGE else "message"] = self.message
        if self.item is not None:
            answer["Item"] = self.item
        return json.dumps(answer).encode()


def invalid(message: str) -> ApiError:
    """A ValidationException."""
    return ApiError("ValidationException", message)


def constraint(where: str, constraint: str, value: str = "") -> ApiError:
    """A ValidationException of the framework that checks requests before the service sees them."""
    shown = f" {value}" if value else ""
    text = (
        f"1 validation error detected: Value{shown} at '{where}' failed to satisfy constraint: {constraint}"
    )
    return invalid(text)


def malformed(message: str | None = None) -> ApiError:
    """The answer to JSON that is none, or that has a wrong type somewhere."""
    return ApiError("SerializationException", message)


def unsupported(what: str) -> ApiError:
    """Loud, so that no test passes because the stub looked away from what it does not know."""
    return ApiError("StubDoesNotImplement", f"The stub does not implement {what}")
