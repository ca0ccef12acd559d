"""A TCP proxy whose connections fail as they are told, and an HTTP proxy that only takes notes."""

from .http_proxy import RecordingHttpProxy
from .proxy import FaultProxy

__all__ = ["FaultProxy", "RecordingHttpProxy"]
