import pytest

from billing.instances import Charge, Instance, InstanceEvent, InstanceState, seconds_by_hour
from tests.billing.world import at


def instance(state: InstanceState, **changes: object) -> Instance:
    made = Instance("d1", "a", "dedicated", Charge.PREPAID, "dedicated-2500", "ap-guangzhou", state, 0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("begin", "end", "seconds"),
    [
        pytest.param("2024-02-10 17:13:14", "2024-02-10 18:00:00", [2806], id="G13"),
        pytest.param("2024-02-10 17:13:14", "2024-02-10 19:00:01", [2806, 3600, 1], id="three hours touched"),
        pytest.param("2024-02-10 17:00:00", "2024-02-10 17:00:00", [], id="nothing"),
    ],
)
def test_seconds_fall_into_their_hours_and_add_up(begin: str, end: str, seconds: list[int]) -> None:
    pieces = seconds_by_hour(at(begin), at(end))
    assert [units for _, units in pieces] == seconds
    assert sum(seconds) == at(end) - at(begin)


@pytest.mark.parametrize(
    ("state", "event", "is_possible"),
    [
        (InstanceState.ACTIVE, InstanceEvent.RENEW, True),
        (InstanceState.ISOLATED, InstanceEvent.RENEW, True),
        (InstanceState.RELEASED, InstanceEvent.RENEW, False),
        (InstanceState.DESTROYED, InstanceEvent.RENEW, False),
        (InstanceState.ISOLATED, InstanceEvent.REFUND, False),
    ],
)
def test_what_a_state_allows(state: InstanceState, event: InstanceEvent, is_possible: bool) -> None:
    assert instance(state).can(event) is is_possible


def test_what_was_refunded_is_not_renewed() -> None:
    assert not instance(InstanceState.ISOLATED, was_refunded=True).can(InstanceEvent.RENEW)


def test_a_renewal_takes_the_end_back() -> None:
    one = instance(InstanceState.ACTIVE)
    one.after(InstanceEvent.EXPIRE, 100)
    assert (one.state, one.ended_at) == (InstanceState.ISOLATED, 100)
    one.after(InstanceEvent.RENEW, 200)
    assert (one.state, one.ended_at) == (InstanceState.ACTIVE, None)


def test_destruction_keeps_the_instant_of_isolation() -> None:
    one = instance(InstanceState.ISOLATED, ended_at=100)
    assert one.deadline() == (100 + 7 * 86400 + 1, InstanceEvent.DESTROY)
    one.after(InstanceEvent.DESTROY, 700_000)
    assert one.ended_at == 100
    assert one.deadline() is None
