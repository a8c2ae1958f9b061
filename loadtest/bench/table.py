"""A full table: 2,000 services of 100 routes, the most that an instance may have, and paths that hit it."""

from __future__ import annotations

from typing import Any, Final

# One less than the most of the spec, 2,000: one is added while it runs.
SERVICES, ROUTES = 1999, 100
# So many that each comes seldom, and no cache of the CPU has it; what was found for a line is still known.
COLD_PATHS: Final = 20_000
WARM_PATHS: Final = 2_000


def services(count: int = SERVICES, routes: int = ROUTES) -> list[dict[str, Any]]:
    """Many services of many routes, the shape of a full instance; every third route has a parameter in it."""
    return [
        {
            "id": f"service-{number}",
            "routes": [{"id": f"r{at}", "methods": ["GET"], "path": route(at)} for at in range(routes)],
        }
        for number in range(count)
    ]


def route(number: int) -> str:
    return f"/items/{number}/{{id}}" if number % 3 == 0 else f"/items/{number}/list"


def paths(count: int, services: int = SERVICES, routes: int = ROUTES) -> tuple[str, ...]:
    """Paths that hit routes all over the table, no two alike."""
    made = []
    for number in range(count):
        path = route(number * 7 % routes).replace("{id}", str(number))
        made.append(f"/service-{number * 31 % services}{path}")
    return tuple(made)


def paths_within(services: int, count: int = WARM_PATHS, routes: int = ROUTES) -> tuple[str, ...]:
    """As many paths, no two alike, of the first so many services: of their routes with a parameter."""
    return tuple(
        f"/service-{number % services}{route(number * 3 % (routes - routes % 3))}".replace("{id}", str(number))
        for number in range(count)
    )
