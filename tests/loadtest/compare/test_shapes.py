from __future__ import annotations

import pytest

from loadtest.compare.plan import LIMITS, NAMES, PLAN, Offer, plan
from loadtest.compare.shapes import users_at


@pytest.mark.parametrize(
    "shape, users",
    [
        pytest.param("flat", [100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100], id="flat"),
        pytest.param("step", [25, 25, 25, 50, 50, 50, 75, 75, 75, 100, 100, 100], id="four steps"),
        pytest.param("spike", [20, 20, 20, 20, 100, 100, 100, 100, 20, 20, 20, 20], id="the middle third"),
    ],
)
def test_a_shape_is_a_number_of_users_over_time(shape: str, users: list[int]) -> None:
    assert [users_at(shape, 100, at, 12) for at in range(12)] == users


def test_a_shape_ends_and_before_its_start_its_first_users_are_there() -> None:
    assert users_at("step", 40, 12, 12) is None
    assert users_at("step", 40, -3, 12) == 10
    assert users_at("spike", 1, 0, 12) == 1


def test_the_plan_goes_past_both_limits_where_it_should() -> None:
    for run in PLAN:
        past = {offer.instance: offer.rate > LIMITS[offer.instance] for offer in run.offers}
        assert (
            past
            == {
                "steps": {"shared": True, "dedicated": True},
                "spike": {"shared": True, "dedicated": True},
                "mix": {"shared": False, "dedicated": False},
                "neighbour": {"shared": True, "dedicated": False},
            }[run.name]
        )


def test_a_plan_can_be_cut_down() -> None:
    (run,) = plan(["steps"], seconds=5, share=0.25)
    assert run.seconds == 5
    assert [offer.rate for offer in run.offers] == [200, 900]
    assert [one.name for one in plan()] == list(NAMES)


def test_more_than_one_process_can_offer_is_offered_by_two() -> None:
    assert Offer("dedicated", "flat", 4000).processes == 2
    assert Offer("dedicated", "flat", 400).processes == 1


def test_what_is_planned_is_users_times_their_pace() -> None:
    assert Offer("shared", "step", 800).planned(9, 12) == 800
    assert Offer("shared", "step", 800).planned(99, 12) == 0
