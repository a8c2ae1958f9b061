"""What the control process does on its store, and how often."""

from pathlib import Path
from typing import Any

import pytest

from config.loading import load_settings
from gateway.control.bookkeeper import Bookkeeper, collect_pause_s
from gateway.control.filter import Filter
from gateway.control.office import Office
from gateway.control.run_files import RunFiles
from gateway.main import WIRING
from metering.database import transaction
from tests.gateway.control.configuration import write_config


@pytest.mark.parametrize(
    "cpu_s, pause_s",
    [(0.0, 0.5), (0.02, 0.5), (0.05, 0.95), (0.065, 1.235), (0.2, 1.1), (0.5, 0.5), (2.0, 0.5)],
)
def test_collecting_takes_a_twentieth_of_a_cpu_while_metrics_are_fresh(cpu_s: float, pause_s: float) -> None:
    assert collect_pause_s(cpu_s) == pytest.approx(pause_s)


def test_what_is_committed_is_answered_though_it_cannot_be_looked_at(tmp_path: Path) -> None:
    """The store goes away right after a top-up."""
    settings = load_settings(write_config(tmp_path))
    books = Bookkeeper(settings, WIRING, RunFiles(Path(settings.node.data_dir)))

    def pay_in(office: Office) -> dict[str, Any]:
        done = office.top_up("acme", {"cash": "1.00"}, "k")
        with transaction(books.store.engine) as connection:
            connection.exec_driver_sql("ALTER TABLE dirty RENAME TO gone")
        return done

    assert books.act(pay_in)["cash"] == "1.00000000"
    assert [account["balance"] for account in books.store.office.accounts(Filter())] == ["101.00000000"]
    books.close()
