"""What a worker is started with: its own sources, and an environment without secrets."""

import sys
from pathlib import Path

from tests.gateway.control.configuration import config_text
from tests.node import TOKEN, free_port, node, origin

TRAP = "raise SystemExit('imported from the working directory')\n"
SECRETS = {
    "TOLLGATE_WEBHOOK_SECRET": "hush-webhook",
    "TOLLGATE_SMTP_PASSWORD": "hush-mail",
    "PGPASSWORD": "hush-store",
    "AWS_SECRET_ACCESS_KEY": "hush-cloud",
}


def test_nothing_is_imported_from_the_working_directory_and_no_secret_is_handed_on(tmp_path: Path) -> None:
    """A worker that imported one of these would die at once, or run whoever's file it is."""
    here = tmp_path / "here"
    (here / "gateway").mkdir(parents=True)
    for name in ("config.py", "asyncio.py", "orjson.py", "uvloop.py", "gateway/__init__.py", "gateway/worker.py"):
        (here / name).write_text(TRAP)
    ports = {name: free_port() for name in ("shared", "dedicated", "admin")}
    how = {"command": [str(Path(sys.executable).with_name("tollgate"))], "working_dir": here, "environ": SECRETS}
    with origin() as port, node(tmp_path / "node", config_text(**ports, origin=port), ports["admin"], **how) as running:
        assert running.call("GET", "/readyz")[0] == 200
        workers = running.worker_pids()
        assert len(workers) == 3
        for pid in workers:
            environ = Path(f"/proc/{pid}/environ").read_bytes().decode()
            assert [secret for secret in (TOKEN, *SECRETS.values()) if secret in environ] == []
    assert "died with status" not in running.log.read_text()
