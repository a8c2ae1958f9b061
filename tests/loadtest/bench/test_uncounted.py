from __future__ import annotations

import ast
from pathlib import Path

from gateway import compiled
from loadtest.bench import uncounted

COUNTS = """\
def end(self):
    row = self._row
    cells = self._meter.cells
    taken = (
        now() - self.started
    )
    kept = now()
    cells[row + 1] += taken
    self._meter.cells[row] += len(self.data); self.done = kept
"""


def test_counts_are_gone_with_what_only_they_read_and_lines_stay_where_they_were() -> None:
    source = COUNTS.replace("; ", "\n    ")
    left = uncounted.without_counts(source)
    assert [ast.unparse(node) for node in ast.parse(left).body[0].body] == [  # type: ignore[attr-defined]
        "pass",
        "pass",
        "pass",
        "kept = now()",
        "pass",
        "pass",
        "self.done = kept",
    ]
    assert len(left.splitlines()) == len(source.splitlines())


def test_a_name_that_something_else_reads_stays() -> None:
    left = uncounted.without_counts("def f(cells, row):\n    size = 1\n    cells[row] += size\n    return size\n")
    assert left == "def f(cells, row):\n    size = 1\n    pass\n    return size\n"


def test_no_module_of_a_worker_counts_in_the_tree_and_all_else_is_there(tmp_path: Path) -> None:
    place = uncounted.make(tmp_path, is_compiled=False)
    changed = set()
    for path in compiled.sources():
        before, after = (compiled.ROOT / path).read_text(), (place / path).read_text()
        assert not uncounted._counts(ast.parse(after))
        if before != after:
            changed.add(path.name)
    assert {"client.py", "downstream.py"} <= changed
