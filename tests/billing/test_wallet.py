import pytest

from billing.wallet import Hold, Move, Wallet


def wallet(cash: int = 0, income: int = 0, gift: int = 0) -> Wallet:
    return Wallet({"cash": cash, "income": income, "gift": gift}, {})


@pytest.mark.parametrize(
    ("amount", "voucher", "left"),
    [
        pytest.param(5, 0, (10, 10, 5), id="gift first"),
        pytest.param(15, 0, (10, 5, 0), id="then income"),
        pytest.param(25, 0, (5, 0, 0), id="then cash"),
        pytest.param(35, 0, (-5, 0, 0), id="cash goes below zero (B25)"),
        pytest.param(15, 10, (10, 10, 5), id="the voucher before all"),
    ],
)
def test_payment_order(amount: int, voucher: int, left: tuple[int, ...]) -> None:
    money = wallet(10, 10, 10)
    payment = money.pay("j", amount, voucher)
    assert tuple(money.free.values()) == left
    assert payment.voucher_e8 + sum(payment.money_e8.values()) == amount


def test_a_debt_in_cash_is_not_paid_from_a_gift_that_comes_later() -> None:
    money = wallet(cash=-3, gift=5)
    assert (money.total_e8, money.available_e8) == (2, 2)
    money.pay("j", 2)
    assert money.free == {"cash": -3, "income": 0, "gift": 3}


def test_holds_come_from_cash_income_gift_and_go_back_there() -> None:
    money, hold = wallet(10, 10, 10), Hold(25)
    money.place("j", hold)
    assert hold.held_e8 == {"cash": 10, "income": 10, "gift": 5}
    assert (money.available_e8, money.held_e8, money.total_e8) == (5, 25, 30)
    money.release("k", hold)
    assert money.free == {"cash": 10, "income": 10, "gift": 10}


def test_a_hold_takes_no_more_than_is_available() -> None:
    money, hold = wallet(cash=-3, gift=5), Hold(25)
    money.place("j", hold)
    assert money.held == {"cash": 0, "income": 0, "gift": 2}
    assert money.available_e8 == 0


def test_a_settlement_may_use_what_is_held_and_holds_again_what_is_left() -> None:
    money, hold = wallet(cash=10), Hold(8)
    money.place("j", hold)
    money.pay_with_holds("k", 5, 0, [hold])
    assert (money.free["cash"], money.held["cash"]) == (0, 5)
    money.pay_with_holds("l", 5, 0, [hold])
    money.pay_with_holds("m", 5, 0, [hold])
    assert (money.free["cash"], money.held["cash"]) == (-5, 0)


def test_an_unchanged_hold_moves_nothing() -> None:
    money, hold = wallet(cash=100), Hold(8)
    money.place("j", hold)
    money.moves.clear()
    money.pay_with_holds("k", 5, 0, [hold])
    assert money.moves == [Move("k", "cash", "revenue", 5)]


def test_moves_balance() -> None:
    money = wallet()
    money.deposit("a", "gift", 7)
    money.deposit("b", "cash", 0)
    money.refund("c", {"cash": 1, "income": 0, "gift": 2})
    assert money.moves == [
        Move("a", "grant", "gift", 7),
        Move("c", "revenue", "cash", 1),
        Move("c", "revenue", "gift", 2),
    ]
