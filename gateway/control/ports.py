"""What the control process needs of billing. The composition root hands it in; this side never imports billing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    # Whoever is handed in has them; the command line is up sooner without.
    from sqlalchemy import Engine

    from config.catalog import Catalog
    from config.prices import PriceBook
    from config.schema import Settings
    from metering.clock import Clock

Document = dict[str, Any]


class Biller(Protocol):
    """The billing engine over one store. ``now`` is epoch seconds of the node's clock; amounts in are e8.

    Documents have the shapes of DESIGN 1.4. Refusals are raised as ``Wiring.refused``.
    """

    def sync(self, settings: Settings, now: float) -> Document:
        """Take up the declared accounts and instances; {"refused": [{"instance", "reason"}]}."""
        ...

    def differences(self, settings: Settings) -> list[str]:
        """In words: what of accounts and instances stays otherwise than the file has it."""
        ...

    def settled_through(self) -> int | None:
        """The last hour that was settled in its time; None: none was."""
        ...

    def settle(self, now: float, ready: Callable[[int], bool]) -> object:
        """Settle the ended hours for which ``ready`` says that no counter is outstanding; pass deadlines.

        Raises at the end, when it did what it could, if an account cannot be settled.
        """
        ...

    def entitlements(self) -> Mapping[str, bool]:
        """By instance: may it serve."""
        ...

    def places(self) -> Mapping[str, tuple[str, str]]:
        """By instance, those that were too: its account and region."""
        ...

    def ended_instances(self) -> set[str]:
        """Those that were released or destroyed: they do not come back by themselves."""
        ...

    def destructions(self) -> Mapping[str, int]:
        """By account, the instant (epoch seconds, node's clock) of its last destruction. What was configured for it
        before that is to be cleared for good, and recorded (B51); it may have been opened again since (P13)."""
        ...

    def balances(self) -> Sequence[tuple[str, str, int]]:
        """(account, currency, total in e8)."""
        ...

    def lag_s(self, now: float) -> float:
        """Since the end of the oldest ended hour that is not settled; 0 when there is none."""
        ...

    def accounts(self) -> list[Document]:
        """Every account's document with its ``id``, without the bills."""
        ...

    def bill(self, account: str, month: str | None = None) -> Document: ...
    def bill_lines(self, account: str, month: str) -> list[Document]: ...
    def settlements(self, account: str | None = None, month: str | None = None) -> list[Document]: ...
    def packs(self, account: str) -> list[Document]: ...
    def orders(self, account: str) -> list[Document]: ...

    def top_up(
        self, account: str, *, cash: int = 0, gift: int = 0, income: int = 0, now: float, idem: str | None = None
    ) -> Document: ...

    def buy_pack(
        self,
        account: str,
        id: str,
        *,
        meters: Mapping[str, int],
        months: int,
        price: int,
        source: str = "purchase",
        now: float,
        idem: str | None = None,
    ) -> Document: ...

    def refund_pack(self, id: str, *, now: float, idem: str | None = None) -> Document: ...

    def give_voucher(
        self, account: str, id: str, amount_e8: int, expires_at: int, now: float, idem: str | None = None
    ) -> Document: ...

    def buy_instance(
        self,
        account: str,
        id: str,
        *,
        spec: str,
        region: str,
        months: int | None = None,
        price: int | None = None,
        now: float,
        idem: str | None = None,
    ) -> Document: ...

    def release_instance(self, id: str, *, now: float, idem: str | None = None) -> Document: ...
    def refund_instance(self, id: str, *, now: float, idem: str | None = None) -> Document: ...
    def renew_instance(self, id: str, *, months: int, now: float, idem: str | None = None) -> Document: ...

    # The operator's

    def regrant_free(self, account: str, *, now: float, idem: str | None = None) -> Document: ...

    def adjust(
        self,
        account: str,
        *,
        hour: int,
        instance: str,
        meter: str,
        amount_e8: int,
        reason: str,
        now: float,
        idem: str | None = None,
    ) -> Document: ...

    def veto_refunds(self, account: str, is_vetoed: bool, now: float) -> None: ...
    def reconcile(self, *, repair: bool = False) -> list[str]: ...

    # Behind a bill

    def focus(self, account: str, month: str, now: float | None = None) -> list[Document]: ...
    def transfers(
        self, account: str, begins: int | None = None, ends: int | None = None, after: int = 0
    ) -> tuple[list[Document], int | None]:
        """So many of the account's transfers between two instants, and the id to go on after, if there are more."""
        ...

    def explain(self, line: int, now: float | None = None) -> Document: ...
    def statement(self, account: str, month: str, now: float | None = None) -> Document: ...

    def what_if(
        self,
        account: str,
        month: str,
        *,
        book: PriceBook | None = None,
        pack: tuple[str, int, int, int] | None = None,
        spec: str | None = None,
        now: float | None = None,
    ) -> Document: ...

    # Notifications (`now` is the machine's own time)

    def due_notifications(
        self,
        channels: Mapping[str, Sequence[str]],
        now: int,
        over: str,
        most: int,
        of_account: int = 1,
        busy: Collection[str] = (),
    ) -> list[Document]:
        """What is to be tried over a channel: so many at most, and of an account that is not ``busy`` so many.

        ``channels`` are those of each account. What is given out is not given out again for a minute.
        """
        ...

    def note_delivery(self, notification: int, channel: str, now: int, error: str | None) -> bool:
        """What a try came to; returns whether there will be another."""
        ...


class Ownership(Protocol):
    """A process's hold of the store. Each call raises ``Wiring.store_lost`` where another has taken it over, as does
    every transaction of the engine. On any thread."""

    @property
    def beat_interval_s(self) -> float: ...
    @property
    def lost_to(self) -> str | None:
        """Who has it instead, in words."""
        ...

    def require(self) -> None: ...
    def beat(self) -> None:
        """To be called in time: who is silent for long may lose the store."""
        ...

    def release(self) -> None: ...


class Claim(Protocol):
    """Takes the store for a process, and brings its schema up to date. Raises ``Wiring.store_taken``."""

    def __call__(
        self, engine: Engine, *, node: str, data_id: str, boot: str, host: str, pid: int, take_over: bool
    ) -> Ownership: ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the composition root hands in. ``refused`` has the attributes ``code`` and ``detail``."""

    claim: Claim
    open_biller: Callable[[Engine, PriceBook, Catalog, Settings, Clock], Biller]
    refused: type[Exception]
    store_taken: type[Exception]
    store_lost: type[Exception]
