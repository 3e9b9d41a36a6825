import contextlib

from simulators.nmbrs.webhook_shapes import Outgoing
from simulators.nmbrs.wire import Wire


def test_the_last_hand_before_the_network_refuses_other_hosts_too():
    """An address that slipped past the check at the door is not connected to."""
    with contextlib.closing(Wire()) as wire:
        answered = wire.send(Outgoing(), "https://example.com/hook", timeout_seconds=1)

    assert answered.status is None
    assert answered.error == "refused: example.com is no loopback address"
