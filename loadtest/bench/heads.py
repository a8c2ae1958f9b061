"""The requests that are asked for: heads of about 550 bytes, as an SDK sends them, no two alike."""

from __future__ import annotations

from typing import Final

# The benchmark's key is Authorization's value.
KEY: Final = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MjQyIn0.pYX8kP2mW5uVt0qLr7cZ3nBd6hJs1eGa"
FIELDS: Final = {
    "User-Agent": "shop-sdk/4.2 (Linux x86_64; Python 3.11) http-client/2.1 build/20261120",
    "Accept": "application/json, text/plain;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept-Language": "en-GB,en;q=0.8,zh-CN;q=0.6",
    "Authorization": KEY,
}
# No two of so many in a row are the same: a cache of whole heads would flatter whoever has one.
DISTINCT: Final = 4096


def heads(path: str, authority: str, count: int = DISTINCT) -> list[bytes]:
    """GETs of ``path``, as wrk's script makes them."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    return [
        f"GET {path}?item={i} HTTP/1.1\r\nHost: {authority}\r\n{fields}"
        f"Cookie: theme=dark; lang=en; session={i * 2654435761:032x}\r\n\r\n".encode()
        for i in range(1, count + 1)
    ]
