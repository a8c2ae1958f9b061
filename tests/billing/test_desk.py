"""Operations at their own instant: whole or not at all, and once for each key."""

import pytest

from billing.errors import Refused
from config.money import E8
from tests.billing.world import World, at

NOW = at("2024-02-01 00:00")


def cash_of(world: World) -> str:
    return str(world.document()["wallet"]["cash"])


def test_the_same_key_pays_once_and_answers_alike() -> None:
    world = World()
    first = world.billing.top_up("a", cash=5 * E8, now=NOW, idem="k")
    assert first == {
        "account": "a",
        "at": "2024-01-31T16:00:00Z",
        "cash": "5.00000000",
        "income": "0.00000000",
        "gift": "0.00000000",
    }
    assert world.billing.top_up("a", cash=5 * E8, now=NOW + 60, idem="k") == first
    assert cash_of(world) == "5.00000000"


def test_a_key_is_not_used_for_two_things() -> None:
    world = World()
    world.billing.top_up("a", cash=5 * E8, now=NOW, idem="k")
    with pytest.raises(Refused, match="idempotency_mismatch"):
        world.billing.top_up("a", cash=6 * E8, now=NOW, idem="k")
    assert cash_of(world) == "5.00000000"


def test_a_refused_operation_leaves_no_trace_and_its_key_is_free() -> None:
    world = World()
    before = world.document()
    wish = {"meter": "calls", "quantity": 5, "months": 1, "price": E8, "now": NOW, "idem": "k"}
    with pytest.raises(Refused, match="insufficient_funds"):
        world.billing.buy_pack("a", "p", **wish)
    assert world.document() == before
    world.billing.top_up("a", cash=E8, now=NOW)
    assert world.billing.buy_pack("a", "p", **wish)["state"] == "active"
    assert world.billing.buy_pack("a", "p", **wish)["state"] == "active"
    assert len(world.billing.orders("a")) == 1
    assert world.billing.reconcile() == []


def test_a_purchase_answers_with_what_was_bought() -> None:
    world = World(cash=5)
    bought = world.billing.buy_pack("a", "p", meter="calls", quantity=5, months=1, price=E8, now=NOW)
    assert bought == {"account": "a", **world.billing.packs("a")[0]}
    refunded = world.billing.refund_pack("p", now=NOW)
    assert (refunded["state"], cash_of(world)) == ("refunded", "5.00000000")


@pytest.mark.parametrize("what", ["account", "pack", "instance", "voucher"])
def test_an_id_is_taken_once(what: str) -> None:
    world = World(cash=5)
    billing = world.billing

    def make() -> None:
        match what:
            case "account":
                billing.open_account("b", NOW)
            case "pack":
                billing.buy_pack("a", "p", meter="calls", quantity=5, months=1, price=E8, now=NOW)
            case "instance":
                billing.open_shared_instance("a", "s2", "ap-guangzhou", NOW)
            case "voucher":
                billing.give_voucher("a", "v", E8, NOW, NOW)

    make()
    with pytest.raises(Refused, match="exists"):
        make()


@pytest.mark.parametrize("call", ["top_up", "refund_pack", "release_instance", "require_service"])
def test_what_is_not_there_is_not_found(call: str) -> None:
    billing = World().billing
    with pytest.raises(Refused) as caught:
        match call:
            case "top_up":
                billing.top_up("nobody", cash=1, now=NOW)
            case "refund_pack":
                billing.refund_pack("p", now=NOW)
            case "release_instance":
                billing.release_instance("d", now=NOW)
            case "require_service":
                billing.require_service("d")
    assert caught.value.code == "not_found"


def test_a_negative_top_up_is_no_request() -> None:
    with pytest.raises(ValueError, match="not negative"):
        World().billing.top_up("a", cash=-1, now=NOW)


def test_an_instance_without_a_given_price_has_the_books() -> None:
    world = World(cash=10_000)
    world.billing.buy_instance("a", "d", spec="dedicated-2500", region="ap-guangzhou", months=2, now=NOW)
    price_e8 = world.billing.price_book.instances["dedicated-2500"].per_month
    assert cash_of(world) == f"{10_000 - 2 * price_e8 // E8}.00000000"
    world.billing.renew_instance("d", months=1, now=NOW)
    assert cash_of(world) == f"{10_000 - 3 * price_e8 // E8}.00000000"


def test_a_released_instance_may_run_again_and_only_its_running_time_is_billed() -> None:
    world = World(cash=100)

    def buy(when: str) -> None:
        world.billing.buy_instance("a", "d", spec="dedicated-2500", region="ap-guangzhou", price=10_000, now=at(when))

    buy("2024-02-01 00:00")
    world.billing.release_instance("d", now=at("2024-02-01 00:10"))
    buy("2024-02-01 00:50")
    world.settle("2024-02-01 01:00")
    assert [line["quantity"] for line in world.lines("2024-02")] == [1200]
    assert world.billing.reconcile() == []


def by_second(world: World, when: str, price: int, months: int | None = None) -> None:
    wish = {"spec": "dedicated-2500", "region": "ap-guangzhou", "months": months, "price": price}
    world.billing.buy_instance("a", "d", **wish, now=at(when))  # type: ignore[arg-type]


@pytest.mark.parametrize(("price", "months"), [(20_000, None), (10_000, 1)])
def test_b41_seconds_keep_the_price_they_ran_at(price: int, months: int | None) -> None:
    """An id that comes back on other terms waits until what it ran before is billed: a settlement knows one price."""
    world = World(cash=100)
    by_second(world, "2024-02-01 00:00", 10_000)
    world.billing.release_instance("d", now=at("2024-02-01 00:10"))
    with pytest.raises(Refused, match="exists: d ran at another price"):
        by_second(world, "2024-02-01 00:50", price, months)
    world.settle("2024-02-01 01:00")
    by_second(world, "2024-02-01 01:00", price, months)
    world.settle("2024-02-01 02:00")
    amounts = [line["amount"] for line in world.lines("2024-02")]
    assert amounts == ["0.06000000", *(["0.72000000"] if months is None else [])]


def test_b1_an_id_keeps_its_type() -> None:
    """Calls of a dedicated instance are free: as a shared one it would have to pay for those that come late."""
    world = World(cash=100)
    by_second(world, "2024-02-01 00:00", 10_000)
    world.billing.release_instance("d", now=at("2024-02-01 00:10"))
    with pytest.raises(Refused, match="exists: d was a dedicated instance"):
        world.billing.open_shared_instance("a", "d", "ap-guangzhou", at("2024-02-01 05:00"))
    world.billing.release_instance("s1", now=at("2024-02-01 05:00"))
    with pytest.raises(Refused, match="exists: s1 was a shared instance"):
        world.billing.buy_instance(
            "a", "s1", spec="dedicated-2500", region="ap-guangzhou", price=1, now=at("2024-02-01 05:00")
        )
