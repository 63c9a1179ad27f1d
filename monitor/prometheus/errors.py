"""What can go wrong with a request, one class for each reaction."""

from __future__ import annotations

from monitor.errors import SourceError

__all__ = ["AccessError", "ApiError", "QueryRefusedError", "RangeTooLargeError", "UnavailableError"]


class ApiError(SourceError):
    """A request to a Prometheus server has failed; its text is one line without secrets."""


class AccessError(ApiError):
    """The address, the credentials or the certificates are wrong: somebody must correct them."""


class QueryRefusedError(ApiError):
    """The server cannot evaluate the query: another time or another attempt changes nothing."""


class RangeTooLargeError(ApiError):
    """The answer would be beyond a limit: ask for less at once."""


class UnavailableError(ApiError):
    """The server does not answer now: try again.

    Parameters
    ----------
    retry_after : float, optional
        Seconds that the server asks to wait.
    is_timeout : bool
        The answer took too long: asking for less may help too.
    """

    def __init__(self, text: str, *, retry_after: float | None = None, is_timeout: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.is_timeout = is_timeout
