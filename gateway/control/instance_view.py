"""Instances as documents: what is configured, what the catalog allows, how billing sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from config.catalog import Catalog
from config.schema import ServiceSettings, Settings
from gateway.control.snapshot import body_max, instance_qps

Document = dict[str, Any]


def instance_documents(
    settings: Settings,
    catalog: Catalog,
    services: Sequence[ServiceSettings],
    entitlements: Mapping[str, bool],
    accounts: Sequence[Document],
    not_served: Mapping[str, str] | None = None,
) -> list[Document]:
    """Those of the given accounts (documents of DESIGN 1.4): first the configured ones, then what they once had.

    ``not_served``: the reasons of those that were bought and have no place beside the file.
    """
    ids = {account["id"] for account in accounts}
    billed = {one["id"]: {"account": account["id"], **one} for account in accounts for one in account["instances"]}
    counts = Counter(service.instance for service in services)
    found: list[Document] = []
    for instance in settings.instances:
        if instance.account not in ids:
            continue
        known = billed.pop(instance.id, {})
        caps, spec = catalog.limits_of(instance), catalog.spec_of(instance)
        found.append(
            {
                "id": instance.id,
                "account": instance.account,
                "type": instance.type,
                "spec": instance.spec,
                "region": instance.region,
                "charge": known.get("charge"),
                "state": known.get("state"),
                "serving": entitlements.get(instance.id, False),
                "not_served": None,
                "started_at": known.get("started_at"),
                "ended_at": known.get("ended_at"),
                "expires_at": known.get("expires_at"),
                "limits": {"instance": instance_qps(instance, catalog), "service": caps.service, "route": caps.route},
                "services": counts[instance.id],
                "services_max": spec.services_max,
                "body_max": body_max(instance, catalog),
                "sla": spec.sla,
                "entries": [str(entry.bind) for entry in _entries(settings, instance)],
            }
        )
    for known in billed.values():
        # Released, or left the file, or it was bought and the file leaves it no place: nothing of it is configured.
        blank = {"limits": {"instance": None, "service": None, "route": None}, "services": 0, "services_max": 0}
        why = (not_served or {}).get(known["id"])
        rest: Document = {"serving": False, "not_served": why, "body_max": None, "sla": None, "entries": []}
        found.append({**known, **blank, **rest})
    return found


def _entries(settings: Settings, instance: Any) -> Sequence[Any]:
    return settings.entry if instance.type == "shared" else instance.entry or ()
