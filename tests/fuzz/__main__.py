"""Runs one target under libFuzzer (atheris): `python -m tests.fuzz request CORPUS -max_total_time=600`.

Ends with the first finding, which libFuzzer leaves as a `crash-…` file, or when its time is over.
"""

from __future__ import annotations

import importlib
import sys

import atheris

TARGETS = ("request", "response", "chunked", "path")


def main() -> None:
    target = sys.argv.pop(1)
    if target not in TARGETS:
        raise SystemExit(f"no such target: {target}; there are {', '.join(TARGETS)}")
    # The grammar is in patterns, into which coverage does not see (and atheris' hook for them fails on possessive
    # ones): the dictionary and the corpus, a file for each rule, stand in for it.
    with atheris.instrument_imports(include=["gateway.http", "gateway.routing", "gateway.proxy.forwarding"]):
        module = importlib.import_module(f"tests.fuzz.fuzz_{target}")
    atheris.Setup(sys.argv, module.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
