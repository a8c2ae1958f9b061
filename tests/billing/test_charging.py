from billing.charging import Line, Positions, Usage, charge_hour, skus_by_type
from billing.packs import Pack, Source
from billing.prices import PriceList
from billing.rating import Price, Tier

GIB = 2**30
PRICES = PriceList(
    [
        Price(1, "calls", None, 10_000, (Tier(100, 890_000), Tier(None, 590_000)), 0),
        Price(2, "egress", "cheap", GIB, (Tier(None, 100),), 0),
        Price(3, "egress", "dear", GIB, (Tier(None, 200),), 0),
        Price(4, "egress", "also-dear", GIB, (Tier(None, 200),), 0),
    ]
)


def egress(region: str, instance: str, side: str = "client", gib: int = 1) -> Usage:
    return Usage(instance, region, f"egress_{side}", "egress", gib * GIB)


def pack(meter: str, total: int, source: Source = Source.PURCHASE) -> Pack:
    return Pack(7, "p", meter, source, total, 0, 0, 100)


def charge(usage: list[Usage], packs: list[Pack] | None = None, **more: object) -> list[Line]:
    return charge_hour(5, "2024-02", usage, packs or [], PRICES, Positions(), **more)  # type: ignore[arg-type]


def test_traffic_is_ordered_by_price_region_instance_and_side() -> None:
    usage = [
        egress("cheap", "a"),
        egress("dear", "b", "backend"),
        egress("dear", "b"),
        egress("dear", "a"),
        egress("also-dear", "z"),
    ]
    lines = charge(usage)
    assert [(line.region, line.instance, line.meter) for line in lines] == [
        ("also-dear", "z", "egress_client"),
        ("dear", "a", "egress_client"),
        ("dear", "b", "egress_client"),
        ("dear", "b", "egress_backend"),
        ("cheap", "a", "egress_client"),
    ]


def test_a_pack_covers_the_dearest_region_first() -> None:
    lines = charge([egress("cheap", "a"), egress("dear", "b")], [pack("egress", GIB)])
    assert [(line.region, line.cover, line.amount_e8) for line in lines] == [
        ("dear", "pack", 0),
        ("cheap", "payg", 100),
    ]


def test_covered_calls_do_not_climb_the_ladder() -> None:
    positions = Positions()
    lines = charge_hour(5, "2024-02", [Usage("s", "r", "calls", "calls", 150)], [pack("calls", 100)], PRICES, positions)
    assert [(line.cover, line.tier, line.quantity) for line in lines] == [("pack", 1, 100), ("payg", 1, 50)]
    assert positions.ladder["calls", "2024-02"] == 50


def test_a_covered_line_shows_the_tier_of_the_next_paid_call() -> None:
    positions = Positions()
    charge_hour(5, "2024-02", [Usage("s", "r", "calls", "calls", 100)], [], PRICES, positions)
    lines = charge_hour(6, "2024-02", [Usage("s", "r", "calls", "calls", 3)], [pack("calls", 9)], PRICES, positions)
    assert [(line.tier, line.unit_price_e8, line.list_e8) for line in lines] == [(2, 590_000, 177)]


def test_both_directions_round_together() -> None:
    usage = [Usage("s", "dear", f"egress_{side}", "egress", GIB // 400) for side in ("client", "backend")]
    assert [line.amount_e8 for line in charge(usage)] == [0, 1]


def test_packs_do_not_count_where_they_are_not_sold_but_the_free_quota_does() -> None:
    usage = [egress("dear", "b")]
    no_packs = {"regions_without_packs": {"dear"}}
    assert [line.cover for line in charge(usage, [pack("egress", GIB)], **no_packs)] == ["payg"]
    assert [line.cover for line in charge(usage, [pack("egress", GIB, Source.FREE)], **no_packs)] == ["free"]


def test_instance_seconds_are_never_covered() -> None:
    use = Usage("d", "r", "instance_seconds", "instance_seconds", 3600, price_e8=13_889)
    [line] = charge([use], [pack("calls", 9), pack("egress", 9)])
    assert (line.cover, line.amount_e8, line.per, line.tier) == ("instance", 50_000_400, 1, None)


def test_nothing_used_is_no_line() -> None:
    assert charge([Usage("s", "r", "calls", "calls", 0)]) == []


def test_the_price_book_says_which_bytes_are_billed() -> None:
    skus = skus_by_type({"shared": ["out_client", "out_backend"], "dedicated": ["out_client"]})
    assert set(skus["shared"]) == {"calls", "egress_client", "egress_backend"}
    assert set(skus["dedicated"]) == {"instance_seconds", "egress_client"}
