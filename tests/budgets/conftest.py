"""Receivers of alerts."""

import pytest

from tests.alert_receiver import AlertReceiver


@pytest.fixture
def receiver():
    with AlertReceiver() as found:
        yield found


@pytest.fixture
def other():
    with AlertReceiver() as found:
        yield found
