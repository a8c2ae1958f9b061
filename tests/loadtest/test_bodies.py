"""A download and an upload through a node: the same at both ends, and metered to the byte."""

from loadtest.bodies import DOWN, UP, bodies


def test_content_each_way_arrives_as_it_was_and_is_metered_to_the_byte() -> None:
    size = (64 << 20) + 12_345
    passed = {DOWN: 0, UP: 0}

    def progressed(way: str, count: int) -> None:
        passed[way] += count

    done = bodies(size, progressed)
    assert passed == {DOWN: size, UP: size}
    for way, (here, there) in done.sums.items():
        assert here == there, way
    assert done.bytes_read == done.metered_egress > size
    assert done.bytes_sent == done.metered_ingress > size
    assert done.adds_up
    assert done.grown_kib < 16 * 1024
