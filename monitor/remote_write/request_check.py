"""What a request is, by its headers, and what can be read of its body. Pure: no clock, no files, no network.

References
----------
https://prometheus.io/docs/specs/prw/remote_write_spec/ and remote_write_spec_2_0/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import cramjam
import zstandard

from monitor.decode.record import Limits, Record, RejectedError
from monitor.decode.remote_write import decode_remote_write
from monitor.remote_write.recent_requests import DecodedRequest
from monitor.remote_write.write_ahead_log import LoggedRequest
from monitor.sample import SeriesTable
from monitor.text import printable

__all__ = ["CheckedRequest", "RefusedError", "RequestForm", "check_body", "form_of", "record_of"]

_MEDIA_TYPE = "application/x-protobuf"
_MESSAGES = {"": 1, "prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2}
_HEADERS = {
    version: (("Content-Type", f"{_MEDIA_TYPE};proto={message}".encode()),)
    for message, version in _MESSAGES.items()
    if message
}
_SHOWN_CHARACTERS = 100  # of a sender's header in an answer
_N_DETAILS = 5  # reasons that an answer shows with an example
_SMALLEST_WINDOW = 1 << 23  # what every decoder of zstd should support (RFC 8878, section 3.1.1.1.2)
_TOO_LARGE = "too_large"  # the decoder's reason, which has a status of its own


class RefusedError(Exception):
    """A request is refused; `status` and the text are the answer, `detail` is for the daemon's own log."""

    def __init__(
        self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None, *, detail: str = ""
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.detail = detail
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class RequestForm:
    """How a body is written: the version of its message, 1 or 2, and its compression, `snappy` or `zstd`."""

    version: int
    encoding: str


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """What could be read of a body.

    `logged` is what goes to the log, and `decoded` its samples; None where there is none. `rejected` counts
    what could not be read by reason, and `details` describes the first of each reason.
    """

    logged: LoggedRequest | None
    decoded: DecodedRequest | None = None
    n_samples: int = 0
    n_histograms: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    details: tuple[str, ...] = ()


def form_of(headers: Mapping[str, str]) -> RequestForm:
    """Tell what a request holds. The content type alone decides on the version, as the specification says.

    Parameters
    ----------
    headers : mapping
        By names in lower case.

    Raises
    ------
    RefusedError
        With status 415, if it is nothing that can be read.
    """
    content_type = headers.get("content-type", "")
    media_type, *parameters = (part.strip() for part in content_type.split(";"))
    named = dict(part.partition("=")[::2] for part in parameters)
    version = _MESSAGES.get(named.get("proto", "").strip('"'))
    if media_type.lower() != _MEDIA_TYPE or version is None:
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {_shown(content_type)}, expected {_MEDIA_TYPE}, "
            f"with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request",
        )
    encoding = headers.get("content-encoding", "snappy").strip().lower()
    if encoding not in ("snappy", "zstd"):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding is {_shown(encoding)}, expected snappy or zstd",
        )
    return RequestForm(version, encoding)


def check_body(body: bytes, form: RequestForm, limits: Limits) -> CheckedRequest:
    """Read a whole body, so that an acknowledged one is known to be readable, and what of it is not.

    Raises
    ------
    RefusedError
        With status 413, if it is too large when decompressed.
    """
    try:
        block = body if form.encoding == "snappy" else _as_snappy(body, limits)
    except RejectedError as error:
        if error.reason == _TOO_LARGE:
            raise _too_large(error.detail) from error
        return CheckedRequest(None, rejected={error.reason: 1}, details=(f"{error.reason}: {error.detail}",))
    # A table of its own: the daemon's belongs to the loop's thread.
    table = SeriesTable()
    decoded = decode_remote_write([Record(block, -1, _HEADERS[form.version])], table, limits)
    for rejection in decoded.rejections:
        if rejection.reason == _TOO_LARGE and not len(decoded.columns):
            raise _too_large(rejection.detail)
    n_columns = len(decoded.columns)
    series = tuple(table[number] for number in range(len(table)))
    return CheckedRequest(
        LoggedRequest(block, form.version, n_columns) if n_columns else None,
        DecodedRequest(decoded.columns, series) if n_columns else None,
        n_samples=n_columns - 2 * decoded.n_histograms,  # a histogram is read as its count and its sum
        n_histograms=decoded.n_histograms,
        rejected=decoded.rejected,
        details=tuple(f"{each.reason}: {each.detail}" for each in decoded.rejections[:_N_DETAILS]),
    )


def record_of(logged: LoggedRequest) -> Record:
    """Give what the decoder reads."""
    return Record(logged.body, -1, _HEADERS[logged.version])


def _as_snappy(body: bytes, limits: Limits) -> bytes:
    """Turn a body in zstd, one whole frame, into the only form that the log and the decoder know."""
    most_bytes = limits.max_record_bytes
    try:
        size = zstandard.frame_content_size(body)  # -1: the sender did not say
        if size > most_bytes:
            at_most = f"at most {most_bytes} are read (decode.max_record_bytes)"
            raise RejectedError(_TOO_LARGE, f"{size} bytes when decompressed, {at_most}")
        decompressor = zstandard.ZstdDecompressor(max_window_size=max(most_bytes, _SMALLEST_WINDOW))
        data = decompressor.decompress(body, max_output_size=most_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise RejectedError("invalid_zstd", f"{printable(str(error))}; {most_bytes} bytes at most") from error
    return bytes(cramjam.snappy.compress_raw(data))


def _too_large(detail: str) -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{detail}. Let the sender send smaller requests"
    )


def _shown(text: str) -> str:
    return repr(printable(text[:_SHOWN_CHARACTERS]))
