"""How often a request has passed this gateway, by what it says of its way."""

import pytest

from gateway.http.via import hops


@pytest.mark.parametrize(
    "via, count",
    [
        (b"", 0),
        (b"1.1 tollgate", 1),
        (b"1.1 tollgate, 1.1 tollgate", 2),
        (b"1.1 tollgate,1.1 tollgate,,1.1\ttollgate", 3),
        (b"1.0 fred, 1.1 tollgate (west), 1.1 p.example.net", 1),
        (b"HTTP/1.1 TollGate(x),2 tollgate", 2),
        (b"1.1 tollgate:8080, 1.1 tollgates, 1.1 a-tollgate, tollgate, 1.1 a tollgate", 0),
        (b"1.1 tollgate " * 3, 0),
    ],
)
def test_entries_of_ours_are_counted(via: bytes, count: int) -> None:
    assert hops(via) == count


def test_a_long_field_takes_no_long_time() -> None:
    """Linear, as every pattern on what clients send."""
    for text in (b" " * 30_000, b"1.1 tollgate " * 2_000, b"1" * 30_000, b", " * 15_000, b"1.1" + b"\t" * 30_000):
        assert hops(text) <= 1
