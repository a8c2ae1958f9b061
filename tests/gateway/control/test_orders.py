from typing import Any

import pytest

from config.prices import PackOffer, load_price_book
from gateway.control.errors import Refusal
from gateway.control.orders import pack_purchase, top_up_amounts

BOOK = load_price_book("usd")
DESCRIBED = {"account": "acme", "meter": "egress", "quantity": 2**30, "months": 3, "price": "1.20"}


def test_a_top_up_is_read_to_the_last_decimal() -> None:
    assert top_up_amounts({"cash": "10.00000001"}) == {"cash": 1_000_000_001, "gift": 0, "income": 0}


@pytest.mark.parametrize(
    "currency, paid, finer",
    [("USD", "0.01", "0.001"), ("JPY", "100.00", "100.50"), ("KWD", "0.001", "0.0001"), ("KWD", "0.125", "0.00000001")],
)
def test_nothing_finer_than_the_currency_is_paid_in(currency: str, paid: str, finer: str) -> None:
    assert top_up_amounts({"gift": paid}, currency)["gift"] > 0
    with pytest.raises(Refusal) as refused:
        top_up_amounts({"cash": paid, "income": finer, "gift": finer}, currency)
    assert [fault.path for fault in refused.value.faults] == ["gift", "income"]


@pytest.mark.parametrize(
    "document, paths",
    [
        pytest.param({}, ["cash"], id="nothing"),
        pytest.param({"cash": "0.00"}, ["cash"], id="zero"),
        pytest.param({"cash": 10}, ["cash"], id="a number is no money"),
        pytest.param({"cash": "-1"}, ["cash"], id="negative"),
        pytest.param({"cash": "1.000000001"}, ["cash"], id="nine decimals"),
        pytest.param({"cash": "1", "voucher": "1", "gift": "x"}, ["voucher", "gift"], id="several"),
    ],
)
def test_a_bad_top_up_is_refused_with_every_place(document: dict[str, Any], paths: list[str]) -> None:
    with pytest.raises(Refusal) as refused:
        top_up_amounts(document)
    assert [fault.path for fault in refused.value.faults] == paths


def test_a_described_pack_is_bought_as_described() -> None:
    bought = pack_purchase(DESCRIBED, BOOK, None)
    assert (bought.units, bought.months, bought.price_e8) == ({"egress": 2**30}, 3, 120_000_000)
    assert bought.source == "purchase"
    assert bought.id.startswith("pkg-out_traffic-")


def test_an_offer_of_the_price_book_is_bought_as_offered() -> None:
    offer = BOOK.packs[0]
    bought = pack_purchase({"account": "acme", "offer": offer.id}, BOOK, None)
    assert (bought.units, bought.price_e8) == ({offer.meter: offer.quantity}, offer.price)


def test_a_pack_of_several_meters_is_bought_as_described_or_offered() -> None:
    meters = {"calls": 5, "egress": 2**30}
    wish = {"account": "acme", "meters": meters, "months": 1, "price": "2.00"}
    bought = pack_purchase(wish, BOOK, None)
    assert (bought.units, bought.id.rpartition("-")[0]) == (meters, "pkg-combined")
    offer = PackOffer.model_validate({"id": "both", "meters": meters, "months": 1, "price": "2.00"})
    book = BOOK.model_copy(update={"packs": (offer,)})
    assert pack_purchase({"account": "acme", "offer": "both"}, book, None).units == meters


def test_the_same_key_is_the_same_pack_and_another_key_another() -> None:
    ids = [pack_purchase(DESCRIBED, BOOK, key).id for key in ("a", "a", "b")]
    assert ids[0] == ids[1] != ids[2]
    assert pack_purchase(DESCRIBED, BOOK, None).id != pack_purchase(DESCRIBED, BOOK, None).id


@pytest.mark.parametrize(
    "document, paths",
    [
        pytest.param({"offer": "none-such"}, ["account", "offer"], id="no such offer"),
        pytest.param({"account": "acme"}, ["meter", "quantity", "months", "price"], id="nothing described"),
        pytest.param({**DESCRIBED, "quantity": 0, "months": True}, ["quantity", "months"], id="no counts"),
        pytest.param({**DESCRIBED, "meters": {"calls": 1}}, ["meter", "quantity"], id="both ways at once"),
        pytest.param({"account": "a", "meters": {}, "months": 1, "price": "1"}, ["meters"], id="of nothing"),
        pytest.param(
            {"account": "a", "meters": {"calls": 0, "seconds": 1}, "months": 1, "price": "1"},
            ["meters.seconds", "meters.calls"],
            id="of what there is none of",
        ),
        pytest.param({**DESCRIBED, "source": "free"}, ["source"], id="free ones are not bought"),
        pytest.param({**DESCRIBED, "id": "x"}, ["id"], id="unknown key"),
    ],
)
def test_a_bad_purchase_is_refused_with_every_place(document: dict[str, Any], paths: list[str]) -> None:
    with pytest.raises(Refusal) as refused:
        pack_purchase(document, BOOK, None)
    assert [fault.path for fault in refused.value.faults] == paths
