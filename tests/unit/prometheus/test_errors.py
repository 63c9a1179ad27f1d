from monitor.errors import SourceError
from monitor.prometheus.errors import ApiError, UnavailableError


def test_every_failure_ends_a_command_in_one_line():
    assert issubclass(ApiError, SourceError)


def test_what_may_pass_says_when_to_ask_again_and_whether_less_would_help():
    error = UnavailableError("away", retry_after=5.0, is_timeout=True)

    assert (str(error), error.retry_after, error.is_timeout) == ("away", 5.0, True)
