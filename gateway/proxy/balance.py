"""Which target of a service comes next (L10). What can be laid out when a target comes or goes is laid out then."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from functools import reduce
from hashlib import blake2b
from math import gcd, inf, log
from typing import Final, Protocol
from zlib import crc32

from gateway.proxy.target import Target

# A round of turns has at most this many: 32 KiB, laid out in about a millisecond. A share is exact where the weights,
# reduced, sum up to no more, else to a part in as many.
TURNS_MAX: Final = 4096
# The least busy of so many in a row: beyond it a pick would cost more than its head, and find hardly better.
LEAST_OF_MAX: Final = 16
# Clients fall into so many places, each of which has one home among the targets. 256 targets get 16 each.
CLIENT_PLACES: Final = 4096

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
News = Callable[[str, Target], None]  # "ejected" or "returned", and who


class Client(Protocol):
    """What balancing may ask of the client."""

    def client_address(self) -> Address: ...


class TargetGroup:
    """A service's targets. ``usable`` are those that are neither ejected nor probed down.

    Passive ejection never takes the last usable target; probes may, and then there is none to pick (DESIGN 1.7).
    """

    __slots__ = ("_ejected", "_news", "base_path", "eject_s", "targets", "usable", "weights")

    def __init__(self, members: Sequence[tuple[Target, int]], eject_s: float, news: News) -> None:
        self.targets = tuple(target for target, _ in members)
        self.weights = dict(members)
        base_paths = {target.base_path for target in self.targets}
        self.base_path = base_paths.pop() if len(base_paths) == 1 else None  # the one all share, if they do
        self.eject_s = eject_s
        self._news = news
        self.usable: tuple[Target, ...] = ()
        self._ejected: tuple[Target, ...] = ()
        self.refresh()

    def pick(self, now_s: float, client: Client, avoid: Target | None = None) -> Target | None:
        """The next target, another than ``avoid`` where there is one. None: the probes found all of them down."""
        raise NotImplementedError

    def refresh(self) -> None:
        """A target came, went, or changed: lay out anew."""
        present = [target for target in self.targets if not target.is_probed_down]
        usable = [target for target in present if not target.is_ejected]
        if not usable:
            # Probes took the others: what was ejected is all there is.
            for target in present:
                self._return(target)
            usable = present
        self.usable = tuple(usable)
        self._ejected = tuple(target for target in present if target.is_ejected)

    def eject(self, target: Target, now_s: float) -> None:
        if target in self.usable and len(self.usable) > 1:
            target.is_ejected = True
            target.ejected_until_s = now_s + self.eject_s
            target.trial_began_s = inf
            self.refresh()
            self._news("ejected", target)

    def take_back(self, target: Target) -> None:
        self._return(target)
        self.refresh()

    def _return(self, target: Target) -> None:
        if target.is_ejected:
            target.is_ejected = False
            target.failures = 0
            target.trial_began_s = inf
            self._news("returned", target)

    def probed(self, target: Target, *, is_down: bool) -> None:
        """What the probes say outranks what was ejected before."""
        if target.is_probed_down != is_down:
            target.is_probed_down = is_down
            target.failures = 0
            self.take_back(target)

    def _due_for_trial(self, now_s: float) -> Target | None:
        for target in self._ejected:
            if target.ejected_until_s <= now_s:
                target.begin_trial(now_s)
                return target
        return None


class SingleTarget(TargetGroup):
    """One address: nothing to choose."""

    __slots__ = ()

    def pick(self, now_s: float, client: Client, avoid: Target | None = None) -> Target | None:
        return self.usable[0] if self.usable else None


class RoundRobin(TargetGroup):
    """Smooth weighted round robin: each target's turns are spread evenly over a round."""

    __slots__ = ("_at", "_turns")

    def refresh(self) -> None:
        super().refresh()
        self._turns = turns([(target, self.weights[target]) for target in self.usable])
        self._at = -1

    def pick(self, now_s: float, client: Client, avoid: Target | None = None) -> Target | None:
        if avoid is not None:
            return self._pick_another(avoid)
        if self._ejected and (target := self._due_for_trial(now_s)) is not None:
            return target
        at = self._at + 1
        laid_out = self._turns
        if at >= len(laid_out):
            if not laid_out:
                return None
            at = 0
        self._at = at
        return laid_out[at]

    def _pick_another(self, avoid: Target) -> Target | None:
        laid_out = self._turns
        for _ in laid_out:
            self._at = at = (self._at + 1) % len(laid_out)
            if laid_out[at] is not avoid:
                return laid_out[at]
        return laid_out[0] if laid_out else None


class LeastOutstanding(TargetGroup):
    """The target with the fewest exchanges under way for its weight; among equals, in turn."""

    __slots__ = ("_at",)

    def refresh(self) -> None:
        super().refresh()
        self._at = 0

    def pick(self, now_s: float, client: Client, avoid: Target | None = None) -> Target | None:
        if avoid is None and self._ejected and (target := self._due_for_trial(now_s)) is not None:
            return target
        usable, weights = self.usable, self.weights
        if not usable:
            return None
        self._at = at = (self._at + 1) % len(usable)
        best, best_load = usable[at], inf
        for step in range(min(len(usable), LEAST_OF_MAX)):
            target = usable[at + step - len(usable)]
            if target is avoid:
                continue
            # A dial under way is an exchange to come: a target that swallows dials must not look idle.
            load = (target.outstanding + target.dialing + 1) / weights[target]
            if load < best_load:
                best, best_load = target, load
        return best


class ClientHash(TargetGroup):
    """Each client has its target, on every worker and after restarts; a target that goes moves its clients only.

    Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights by -w/ln u): of all targets, the one with the
    highest score for the client. Scores are worked out once for a place, and places are remembered.
    """

    __slots__ = ("_homes",)

    def refresh(self) -> None:
        super().refresh()
        self._homes: dict[int, Target] = {}

    def pick(self, now_s: float, client: Client, avoid: Target | None = None) -> Target | None:
        if avoid is None and self._ejected and (target := self._due_for_trial(now_s)) is not None:
            return target
        place = crc32(client.client_address().packed) % CLIENT_PLACES
        if avoid is not None:
            others = [target for target in self.usable if target is not avoid]
            return self._best(place, others or self.usable)
        home = self._homes.get(place)
        if home is None:
            home = self._best(place, self.usable)
            if home is not None:
                self._homes[place] = home
        return home

    def _best(self, place: int, among: Sequence[Target]) -> Target | None:
        return max(among, key=lambda target: _score(place, target.url, self.weights[target]), default=None)


def _score(place: int, url: str, weight: int) -> float:
    digest = blake2b(b"%d %b" % (place, url.encode()), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 0.5) / 2**64  # in (0, 1)
    return weight / -log(share) if share < 1 else inf


_BALANCES: Final = {"round_robin": RoundRobin, "least_outstanding": LeastOutstanding, "client_hash": ClientHash}


def make_group(balance: str, members: Sequence[tuple[Target, int]], eject_s: float, news: News) -> TargetGroup:
    kind = SingleTarget if len(members) == 1 else _BALANCES[balance]
    return kind(members, eject_s, news)


def turns(members: Sequence[tuple[Target, int]]) -> tuple[Target, ...]:
    """A round in which each target has as many turns as its weight says, spread evenly."""
    counts = _turn_counts([weight for _, weight in members])
    # The k-th of n turns stands at (k + 1/2) / n of the round; among equals the order of the targets decides.
    places = [((2 * k + 1) / (2 * count), index) for index, count in enumerate(counts) for k in range(count)]
    return tuple(members[index][0] for _, index in sorted(places))


def _turn_counts(weights: Sequence[int]) -> list[int]:
    """Weights in their lowest terms, or, where those are too many turns, scaled down to at least 1 each."""
    divisor = reduce(gcd, weights, 0) or 1
    counts = [weight // divisor for weight in weights]
    total = sum(counts)
    if total > TURNS_MAX:
        counts = [max(1, round(count * TURNS_MAX / total)) for count in counts]
    return counts
