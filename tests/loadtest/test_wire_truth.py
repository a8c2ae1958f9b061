"""Wire bytes against the transmit counter of a link, where this machine can make one that loses packets."""

from __future__ import annotations

import pytest

from loadtest.wire_truth import Unable, measure


@pytest.mark.parametrize("loss_percent", [0, 1, 5])
def test_the_link_carried_what_the_node_says_and_tcp_options(loss_percent: float) -> None:
    """Time stamps are 12 bytes of a segment: 0.8 % of a full one, more of acknowledgements."""
    try:
        found = measure(loss_percent, requests=60, answer_bytes=100_000)
    except Unable as error:
        pytest.skip(str(error))  # Not a program that can be installed: the kernel's, or the right to use it.
    assert found.application_bytes < found.wire_bytes
    assert -0.5 < found.difference_percent < 3, found
