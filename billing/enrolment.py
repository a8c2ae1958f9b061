"""Accounts and instances as the configuration file wants them (DESIGN 1.2): the file names the desired state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import select

from billing import tables
from billing.errors import Refused
from billing.views import Document
from config.schema import Account, InstanceSettings, Settings
from metering.database import is_away, transaction

if TYPE_CHECKING:
    from billing.desk import Desk


class Enrolment:
    """Carries the wishes of one file out; keeps those that could not be paid yet."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        self._desk = desk
        self._settings = settings
        self._waiting: list[InstanceSettings] = []

    def carry_out(self, now: int) -> list[Document]:
        """Open what is new, release what left the file, update what may change. Returns what was not done, of
        accounts (their opening credit, what is wrong with their rows) and of instances."""
        known = self._known_accounts()
        undone: list[Document] = []
        for account in self._settings.accounts:
            with self._alone({"account": account.id}, undone):
                if account.id not in known:
                    self._open(account, now)
                self._desk.set_alert(account.id, account.alert_below, now)
                if not self._credit_opening(account, now):
                    undone.append({"account": account.id, "reason": "an opening is credited once, and it was"})
        self._release_absent(now, undone)
        self._waiting = list(self._settings.instances)
        return undone + self.try_again(now)

    def try_again(self, now: int) -> list[Document]:
        """Buy what is declared, does not run, and can be paid by now. Returns the refusals."""
        if not self._waiting:
            return []
        active = self._active()
        refused: list[Document] = []
        for instance in self._waiting:
            if instance.id not in active:
                with self._alone({"instance": instance.id}, refused):
                    self._start(instance, now)
        # What a destroyed account had is not waited for: who wants it makes it anew, once nothing is owed (P13).
        undone = {one["instance"] for one in refused if one["reason"] != "destroyed"}
        self._waiting = [instance for instance in self._waiting if instance.id in undone]
        return refused

    @contextmanager
    def _alone(self, named: Document, undone: list[Document]) -> Iterator[None]:
        """What is refused, or fails for the rows of one account, keeps no other from what it is to have."""
        try:
            yield
        except Refused as refusal:
            undone.append({**named, "reason": refusal.code})
        except Exception as error:
            if is_away(error):
                raise
            undone.append({**named, "reason": f"{type(error).__name__}: {error}"})

    def _open(self, account: Account, now: int) -> None:
        self._desk.open_account(
            account.id,
            now,
            activated_at=account.activated_at,
            entity=account.entity,
            currency=account.currency,
            has_free_quota=account.free_quota,
            alert_below_e8=account.alert_below,
        )

    def _credit_opening(self, account: Account, now: int) -> bool:
        """Once, by its key (DESIGN 1.2). False: the file has another amount now, which does not pay a second time."""
        opening = account.opening
        if not (opening.cash or opening.gift or opening.income):
            return True
        try:
            self._desk.top_up(
                account.id,
                cash=opening.cash,
                gift=opening.gift,
                income=opening.income,
                now=now,
                idem=f"opening:{account.id}",
            )
        except Refused as refusal:
            if refusal.code != "idempotency_mismatch":
                raise
            return False
        return True

    def _release_absent(self, now: int, undone: list[Document]) -> None:
        """What left the file is released; prepaid ones run on until they expire (P8)."""
        wanted = {instance.id for instance in self._settings.instances}
        for id in sorted(self._active(declared_only=True) - wanted):
            with self._alone({"instance": id}, undone):
                try:
                    self._desk.release_instance(id, now=now)
                except Refused as refusal:
                    if refusal.code not in ("wrong_charge", "destroyed"):
                        raise

    def _start(self, instance: InstanceSettings, now: int) -> None:
        if instance.type == "shared":
            self._desk.open_shared_instance(instance.account, instance.id, instance.region, now, is_declared=True)
            return
        assert instance.spec is not None
        months = getattr(instance.charge, "prepaid_months", None)
        self._desk.buy_instance(
            instance.account,
            instance.id,
            spec=instance.spec,
            region=instance.region,
            months=months,
            now=now,
            is_declared=True,
        )

    def _known_accounts(self) -> set[str]:
        with transaction(self._desk.engine) as connection:
            return set(connection.execute(select(tables.account.c.id)).scalars())

    def _active(self, *, declared_only: bool = False) -> set[str]:
        """What runs: declared, or bought by an order, which the file then makes serve."""
        columns = tables.instance.c
        query = select(columns.id).where(columns.state == "active")
        if declared_only:
            query = query.where(columns.is_declared == 1)
        with transaction(self._desk.engine) as connection:
            return set(connection.execute(query).scalars())
