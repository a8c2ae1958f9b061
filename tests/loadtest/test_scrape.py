"""A scrape of a node whose every service was called: each series there, each sum right, and no worker needed for it."""

from loadtest.scrape import measure


def test_a_scrape_has_every_series_and_asks_no_worker() -> None:
    done = measure(services=30, scrapes=3)
    assert done.faults == []
    assert done.series > 30 * 31
    assert len(done.taken_ms) == 3
