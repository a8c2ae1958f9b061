"""What an attacker counts of what it is told."""

import asyncio
import json

import pytest

from loadtest.abuse.attack import Ground, Line, Seen
from loadtest.abuse.attacks import ATTACKS

ANSWERS = (
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno" * 3 + b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 5, 11, 12, 13, len(ANSWERS)])
async def test_statuses_are_counted_once_however_the_bytes_come(size: int) -> None:
    seen, reader = Seen(), asyncio.StreamReader()
    line = Line(reader, None, seen)  # type: ignore[arg-type]
    for at in range(0, len(ANSWERS), size):
        reader.feed_data(ANSWERS[at : at + size])
        await line.read()
    assert seen.answered == {404: 3, 429: 1}
    assert seen.bytes_read == len(ANSWERS)


def test_what_was_seen_goes_through_a_document_and_back() -> None:
    seen = Seen(connected=2, sent=3, noted={"arrivals": 2})
    seen.answered[404] += 3
    assert Seen.of(json.loads(json.dumps(seen.document()))) == seen


async def test_a_port_that_nobody_listens_on_is_an_error_and_no_connection() -> None:
    ground = Ground(entry=1, admin=1, upstream=1, is_tls=False)
    with pytest.raises(OSError):
        await ground.connect()
    assert ground.seen.connected == 0


def test_each_attack_is_named_in_kebab_case_and_bounded() -> None:
    for name, attack in ATTACKS.items():
        assert name == attack.name
        assert name.replace("-", "").isalnum()
        assert name.islower() or name.isdecimal()
        assert 1 <= attack.connections <= 512
        assert attack.what
