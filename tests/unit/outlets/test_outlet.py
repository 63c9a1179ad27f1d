"""What every outlet must do; a new one joins the list."""

import pytest

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Summary
from monitor.outlets.log import LogOutlet

ALERT = Alert("w", "web1", 0, 10_000, 2.5, 4.0, False, ())


@pytest.fixture(params=[LogOutlet])
def outlet(request):
    return request.param()


def test_nothing_to_deliver_is_no_event(outlet, caplog):
    outlet.deliver([])

    assert caplog.records == []


def test_the_same_may_be_delivered_twice(outlet):
    for _ in range(2):
        outlet.deliver([ALERT])
        outlet.send_summary(Summary(1, ("w/web1",), 0, 60_000))
