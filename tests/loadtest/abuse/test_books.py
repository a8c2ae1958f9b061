"""Usage rows of a service, put together."""

from loadtest.abuse.books import Counted, counted


def _row(service: str, calls: int, egress: list[tuple[str, str, int]], refused: int) -> dict[str, object]:
    items = [{"side": side, "basis": basis, "network": "internet", "bytes": number} for side, basis, number in egress]
    errors = {"frontend_errors": {"rate_limited": refused}, "backend_errors": {"backend_5xx": 1}}
    return {"service": service, "calls": calls, "egress": items, **errors}


def test_the_hours_of_a_service_are_put_together_and_only_bytes_to_clients_are_its_egress() -> None:
    egress = [("client", "application", 100), ("client", "wire", 160), ("backend", "application", 50)]
    rows = [_row("mark", 2, egress, 3), _row("calm", 7, egress, 0), _row("mark", 1, egress, 1)]
    assert counted(rows, "mark") == Counted(
        calls=3, egress_bytes=200, refused={"rate_limited": 4}, failed={"backend_5xx": 2}
    )
    assert counted(rows, "none") == Counted()
