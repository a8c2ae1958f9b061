from billing.vouchers import Voucher, choose


def test_vouchers_are_taken_in_the_order_of_g16() -> None:
    vouchers = [
        Voucher(1, "A", 10, 10, 9),
        Voucher(2, "B", 10, 8, 9),
        Voucher(3, "C", 20, 5, 9),
        Voucher(4, "D", 20, 2, 9),
        Voucher(5, "E", 20, 4, 10),
    ]
    order = []
    while vouchers:
        chosen = choose(vouchers, 4, valid_at=9)
        assert chosen is not None
        order.append(chosen.id)
        vouchers.remove(chosen)
    assert "".join(order) == "CBADE"


def test_equal_vouchers_are_taken_as_they_were_given() -> None:
    chosen = choose([Voucher(2, "later", 5, 5, 9), Voucher(1, "first", 5, 5, 9)], 4, valid_at=0)
    assert chosen is not None
    assert chosen.id == "first"


def test_expired_and_empty_ones_are_not_used() -> None:
    assert choose([Voucher(1, "old", 5, 5, 9), Voucher(2, "empty", 5, 0, 99)], 4, valid_at=10) is None


def test_nothing_to_pay_uses_none() -> None:
    assert choose([Voucher(1, "A", 5, 5, 9)], 0, valid_at=0) is None
