"""A process that bills until it is killed. `python -m tests.billing.settler_process URL`; reads lines on stdin.

For each line it forks a child that opens the store anew and works on, and prints the child's pid; when the child is
dead, it prints "gone". Forking saves the half second that imports take.
"""

from __future__ import annotations

import os
import random
import signal
import sys

from billing.service import Billing
from config.catalog import load_catalog
from config.money import E8
from config.prices import load_price_book
from metering.database import open_engine
from tests.billing.world import GIB, at, count_rows

START = at("2024-02-01 00:00")
TOP_UP_E8 = E8
# Half a year: more than a process gets done between 500 kills.
HOURS = 26 * 7 * 24
CLIENT = "egress:client:internet:application"


def work(url: str, seed: int) -> None:
    """Hour after hour: counters grow, money comes in, packs are bought and some given back, hours are settled."""
    chance = random.Random(seed)
    engine = open_engine(url)
    billing = Billing(engine, load_price_book("usd"), load_catalog(), is_migrated=True)
    # It goes on where the one before it stopped: the store says where that was.
    for hour in range(len({one["hour"] for one in billing.settlements("a")}), HOURS):
        now = START + hour * 3600 + 1800
        for instance in ("s1", "s2"):
            grown = {"calls": chance.randrange(1, 5000) + 5000, CLIENT: chance.randrange(GIB)}
            count_rows(engine, now // 3600, grown, instance=instance, writer=f"w{seed}")
        billing.top_up("a", cash=TOP_UP_E8, now=now, idem=f"t{hour}")
        billing.buy_pack(
            "a", f"p{hour}", meter="calls", quantity=1500, months=1, price=E8 // 9, now=now, idem=f"p{hour}"
        )
        if hour % 3 == 0:
            billing.buy_pack(
                "a", f"r{hour}", meter="egress", quantity=1, months=1, price=E8 // 7, now=now, idem=f"r{hour}"
            )
            billing.refund_pack(f"r{hour}", now=now + 1, idem=f"back{hour}")
        billing.settle(now + 1800, lambda _: True)
    signal.pause()  # All done: waits to be killed.


def main() -> None:
    url = sys.argv[1]
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            work(url, int(line))
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
