"""The Authorization header: there, whole, and, if a test asks for it, right."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from .errors import ApiError
from .wire import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Required:
    """What credentials have to be; `None` takes any."""

    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    region: str | None = None


def check(request: HttpRequest, required: Required) -> None:
    """Refuses a request that is not signed, or not as required."""
    header = request.headers.get("authorization", "")
    if not header.startswith("AWS4-"):
        raise ApiError("MissingAuthenticationTokenException")
    parts = [part.strip().partition("=") for part in header.partition(" ")[2].split(",")]
    fields = {name: value for name, _, value in parts}
    for name in ("Credential", "Signature", "SignedHeaders"):
        if name not in fields:
            raise ApiError(
                "IncompleteSignatureException",
                f"Authorization header requires '{name}' parameter. Authorization={header}",
            )
    scope = fields["Credential"].split("/")
    if len(scope) != 5:
        raise ApiError(
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{fields['Credential']}'",
        )
    access_key, _, region, service, _ = scope
    if required.region not in (None, region):
        raise ApiError("InvalidSignatureException", "Credential should be scoped to a valid region. ")
    if service != "dynamodb":
        raise ApiError(
            "InvalidSignatureException", "Credential should be scoped to correct service: 'dynamodb'. "
        )
    token = request.headers.get("x-amz-security-token")
    if required.access_key not in (None, access_key) or required.session_token not in (None, token):
        raise ApiError("UnrecognizedClientException")
    if required.secret_key is not None and fields["Signature"] != sign(request, fields, required.secret_key):
        raise ApiError("InvalidSignatureException")


def sign(request: HttpRequest, fields: dict[str, str], secret_key: str) -> str:
    """The signature that the request should have: version 4, over the headers that it names."""
    names = fields["SignedHeaders"].split(";")
    canonical = "\n".join(
        [
            request.method,
            request.path,
            "",
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            fields["SignedHeaders"],
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    _, _, scope = fields["Credential"].partition("/")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, request.headers.get("x-amz-date", ""), scope, digest])
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
