"""All attacks, by their names."""

from __future__ import annotations

from typing import Final

from loadtest.abuse.attack import Attack
from loadtest.abuse.connections import CONNECTIONS
from loadtest.abuse.downloads import DOWNLOADS
from loadtest.abuse.handshakes import HANDSHAKES
from loadtest.abuse.pipelines import PIPELINES
from loadtest.abuse.tunnels import TUNNELS
from loadtest.abuse.uploads import UPLOADS

ATTACKS: Final[dict[str, Attack]] = {
    attack.name: attack for attack in (*PIPELINES, *UPLOADS, *DOWNLOADS, *CONNECTIONS, *HANDSHAKES, *TUNNELS)
}
