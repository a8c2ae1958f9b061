"""The shipped catalog and books hold the guide's numbers (B21, B23, L1-L3, L6, P1)."""

import pytest
from pydantic import ValidationError

from config.catalog import load_catalog
from config.prices import PackOffer, load_price_book


def test_call_tiers_are_the_guides() -> None:
    assert load_price_book("usd").call_tiers == ((10_000_000, 890_000), (100_000_000, 590_000), (None, 450_000))


@pytest.mark.parametrize(
    "region, e8",
    [("ap-guangzhou", 12_000_000), ("ap-hongkong", 15_000_000), ("na-ashburn", 7_400_000), ("ap-mumbai", 8_700_000)],
)
def test_a_gigabyte_costs_what_the_guide_says(region: str, e8: int) -> None:
    assert load_price_book("usd").egress[region] == e8


def test_every_region_has_a_price_in_every_book() -> None:
    regions = set(load_catalog().regions)
    assert len(regions) == 18
    assert set(load_price_book("usd").egress) == set(load_price_book("cny").egress) == regions


def test_dedicated_instances_are_to_be_had_in_four_regions() -> None:
    found = {id for id, region in load_catalog().regions.items() if region.dedicated}
    assert found == {"ap-guangzhou", "ap-shanghai", "ap-beijing", "ap-hongkong"}


def test_every_spec_has_its_numbers_and_its_price() -> None:
    catalog, book = load_catalog(), load_price_book("usd")
    assert (catalog.shared.qps.instance, catalog.shared.services_max, catalog.shared.body_max) == (500, 200, 16 << 20)
    found = {name: (spec.qps.instance, spec.services_max) for name, spec in catalog.dedicated.items()}
    assert found == {
        "dedicated-2500": (2500, 100),
        "dedicated-5000": (5000, 200),
        "dedicated-10000": (10_000, 500),
        "dedicated-20000": (20_000, 1000),
        "dedicated-50000": (50_000, 2000),
    }
    assert set(book.instances) == set(found)


@pytest.mark.parametrize(
    "units, is_valid",
    [
        ({"meter": "calls", "quantity": 5}, True),
        ({"meters": {"calls": 5, "egress": 7}}, True),
        ({"meter": "calls"}, False),
        ({"quantity": 5}, False),
        ({}, False),
        ({"meters": {}}, False),
        ({"meters": {"calls": 0}}, False),
        ({"meters": {"seconds": 5}}, False),
        ({"meters": {"calls": 5}, "meter": "calls"}, False),
        ({"meters": {"calls": 5}, "meter": "calls", "quantity": 5}, False),
    ],
)
def test_an_offer_has_one_meter_or_several(units: dict[str, object], is_valid: bool) -> None:
    document = {"id": "p", "months": 1, "price": "1.00", **units}
    if is_valid:
        assert sum(PackOffer.model_validate(document).units.values()) in (5, 12)
    else:
        with pytest.raises(ValidationError):
            PackOffer.model_validate(document)
