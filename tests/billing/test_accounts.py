import pytest

from billing.accounts import TRANSITIONS, Account, AccountState, Happening
from billing.calendar import LocalCalendar
from tests.billing.world import at

SHANGHAI = LocalCalendar("Asia/Shanghai")


def account(state: AccountState = AccountState.ACTIVE, **changes: object) -> Account:
    made = Account("a", "e", "USD", 0, state, 1000, has_free_quota=False)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("state", AccountState)
@pytest.mark.parametrize("happening", Happening)
def test_only_the_table_moves_an_account(state: AccountState, happening: Happening) -> None:
    one = account(state)
    transition = one.after(happening, 2000)
    expected = TRANSITIONS.get((state, happening))
    if expected is None:
        assert transition is None
        assert (one.state, one.state_at) == (state, 1000)
    else:
        assert transition is not None
        assert (transition.before, transition.after, one.state_at) == (state, expected, 2000)


def test_only_what_pays_all_leaves_destroyed() -> None:
    leaving = {happening: after for (state, happening), after in TRANSITIONS.items() if state is AccountState.DESTROYED}
    assert leaving == {Happening.OWES_NOTHING: AccountState.ACTIVE}


@pytest.mark.parametrize(
    ("state", "deadline"),
    [
        (AccountState.ACTIVE, None),
        (AccountState.ARREARS, 1000 + 24 * 3600 + 1),
        (AccountState.SUSPENDED, 1000 + 7 * 24 * 3600 + 1),
        (AccountState.DESTROYED, None),
    ],
)
def test_deadlines_are_passed_a_second_later(state: AccountState, deadline: int | None) -> None:
    assert account(state).deadline() == deadline


@pytest.mark.parametrize(
    ("changes", "is_owed"),
    [
        pytest.param({"alert_e8": 500, "first_event_at": 1}, True, id="below"),
        pytest.param({"alert_e8": 499, "first_event_at": 1}, False, id="not below"),
        pytest.param({"first_event_at": 1}, False, id="no threshold"),
        pytest.param({"alert_e8": 500}, False, id="nothing happened yet"),
        pytest.param({"alert_e8": 500, "first_event_at": 1, "state": AccountState.SUSPENDED}, False, id="suspended"),
    ],
)
def test_an_alert_is_owed_when_low(changes: dict[str, object], is_owed: bool) -> None:
    one = account(**changes)  # type: ignore[arg-type]
    assert one.owes_alert(499, at("2024-02-10 10:00"), SHANGHAI) is is_owed


def test_one_alert_a_local_day() -> None:
    one = account(alert_e8=500, first_event_at=1, alerted_on=SHANGHAI.day_of(at("2024-02-10 00:00")))
    assert not one.owes_alert(0, at("2024-02-10 23:59:59"), SHANGHAI)
    assert one.owes_alert(0, at("2024-02-11 00:00"), SHANGHAI)
