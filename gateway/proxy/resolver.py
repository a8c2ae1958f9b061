"""Names of targets into addresses, off the request path: remembered for a bounded time (L9).

An answer is used as it is for REFRESH_AFTER_S, then used while it is asked for anew, and after AGE_S_MAX the dial waits
for the new one. When the resolver fails, the last good answer serves on. All of a name's addresses have their turns, of
whichever family; one that could not be connected to comes last for SKIP_S, and then one dial tries it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger("tollgate.resolver")

SKIP_S: Final = 10.0
AGE_S_MAX: Final = 30.0  # A change of address reaches new connections within this.
REFRESH_AFTER_S: Final = 15.0
# After a failure the resolver is left alone for this long, so that each dial does not wait for it again.
RETRY_AFTER_S: Final = 1.0
# A dial that has an old answer waits no longer for the new one: the resolver may be away for its 5 s and more.
STALE_WAIT_S: Final = 1.0
ADDRESSES_MAX: Final = 16  # A name may have hundreds; a dial tries no more than these.

Address = tuple[int, str]  # family, numeric
Addresses = tuple[Address, ...]
Lookup = Callable[[str], Awaitable[Addresses]]


def literal_address(host: str) -> Addresses:
    """The address that a host is written as; empty for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ()
    return ((socket.AF_INET if address.version == 4 else socket.AF_INET6, host),)


async def system_lookup(host: str) -> Addresses:
    """The system's resolver, in its own thread, with its order (RFC 6724). Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))[:ADDRESSES_MAX]


class _Name:
    """What is known of one name."""

    __slots__ = ("addresses", "dead_until_s", "error", "found_at_s", "retry_at_s", "task", "turn")

    def __init__(self) -> None:
        self.addresses: Addresses = ()
        self.turn = 0
        self.dead_until_s: dict[Address, float] = {}  # those that could not be connected to
        self.found_at_s = 0.0
        self.retry_at_s = 0.0
        self.error: OSError | None = None
        self.task: asyncio.Task[None] | None = None


class Resolver:
    """One for a worker. ``clock`` is time.monotonic()."""

    def __init__(self, lookup: Lookup = system_lookup, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._clock = clock
        self._names: dict[str, _Name] = {}

    async def addresses(self, host: str, family: int = 0) -> Addresses:
        """All of a name's addresses, of one family where it is said, the one whose turn it is first.

        Raises OSError when none was ever found.
        """
        name = self._names.setdefault(host, _Name())
        age_s = self._keep_fresh(host, name)
        if age_s >= AGE_S_MAX and name.task is not None:
            # Shielded by `wait`: one dial that gives up takes the answer from nobody else.
            await asyncio.wait({name.task}, timeout=STALE_WAIT_S if name.addresses else None)
        if name.addresses:
            return self._in_turn(name, family)
        raise name.error or OSError(f"{host} has no address")

    def current(self, host: str) -> Addresses:
        """What is known of a name that connections are held to; asked for anew where it is old."""
        name = self._names.get(host)
        if name is None:
            return ()
        self._keep_fresh(host, name)
        return name.addresses

    def _keep_fresh(self, host: str, name: _Name) -> float:
        """The answer's age, AGE_S_MAX where there is none."""
        now_s = self._clock()
        age_s = now_s - name.found_at_s if name.addresses else AGE_S_MAX
        if age_s >= REFRESH_AFTER_S and name.task is None and now_s >= name.retry_at_s:
            name.task = asyncio.get_running_loop().create_task(self._refresh(host, name), name=f"resolve {host}")
        return age_s

    def _in_turn(self, name: _Name, family: int) -> Addresses:
        found = [address for address in name.addresses if family in (0, address[0])]
        dead_until_s = name.dead_until_s
        if not dead_until_s:
            alive, dead = found, []
        else:
            now_s = self._clock()
            alive = [address for address in found if dead_until_s.get(address, now_s) <= now_s]
            dead = [address for address in found if address not in alive]
        if alive:
            at = name.turn % len(alive)
            alive = alive[at:] + alive[:at]
            if alive[0] in dead_until_s:
                dead_until_s[alive[0]] = self._clock() + SKIP_S  # This dial tries it; the others wait for its news.
        name.turn += 1
        return (*alive, *dead)

    def answered(self, host: str, address: Address) -> None:
        """This one could be connected to."""
        name = self._names.get(host)
        if name is not None and name.dead_until_s:
            name.dead_until_s.pop(address, None)

    def failed(self, host: str, address: Address) -> None:
        """This one could not: the others go first for a while."""
        name = self._names.get(host)
        if name is not None and address in name.addresses:
            name.dead_until_s[address] = self._clock() + SKIP_S

    def keep_only(self, hosts: set[str]) -> None:
        """Forgets names that no target has any more."""
        for host in self._names.keys() - hosts:
            task = self._names.pop(host).task
            if task is not None:
                task.cancel()

    async def _refresh(self, host: str, name: _Name) -> None:
        try:
            found = await self._lookup(host)
            if not found:
                raise OSError(f"{host} has no address")
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of more than 63 characters
            if name.error is None:
                more = "; its last addresses are used" if name.addresses else ""
                log.warning("%s cannot be resolved: %s%s", host, error, more)
            name.error = error if isinstance(error, OSError) else OSError(f"{host} is no name that resolves")
            name.retry_at_s = self._clock() + RETRY_AFTER_S
        else:
            name.error = None
            name.found_at_s = self._clock()
            if set(found) != set(name.addresses):
                name.addresses = found
                name.dead_until_s = {one: until_s for one, until_s in name.dead_until_s.items() if one in found}
        finally:
            name.task = None
