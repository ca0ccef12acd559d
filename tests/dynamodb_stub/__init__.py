"""A strict DynamoDB for tests: in this process, with the limits of the service and with faults to order.

DynamoDB Local and moto let pass what the service refuses, and never leave a part of a batch unprocessed. This
stub refuses it with the service's own words, fails as it is told, and remembers what it was asked.
"""

from .errors import ApiError
from .faults import (
    AnswerLate,
    CutAnswer,
    Delay,
    Drop,
    Fail,
    Hold,
    Rule,
    Unprocessed,
    internal_error,
    throttled,
    unavailable,
)
from .records import Overlap, Request
from .stub import DynamoDBStub
from .tables import Write

__all__ = [
    "AnswerLate",
    "ApiError",
    "CutAnswer",
    "Delay",
    "Drop",
    "DynamoDBStub",
    "Fail",
    "Hold",
    "Overlap",
    "Request",
    "Rule",
    "Unprocessed",
    "Write",
    "internal_error",
    "throttled",
    "unavailable",
]
