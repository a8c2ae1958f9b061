"""What a service may have against a request, in words (DESIGN 1.5)."""

from __future__ import annotations

from typing import Final

from gateway.proxy.matching import Refusal

NO_UPGRADE: Final = Refusal(
    "upgrade_required", "this service is WebSocket only", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
)
# Some readers take content for content here, others for the first of the other protocol.
CONTENT_OF_HANDSHAKE: Final = Refusal("bad_request", "a WebSocket handshake has no content")
SUSPENDED: Final = Refusal("account_suspended", "the account is suspended")
ADDRESS: Final = Refusal("forbidden", "the client's address is not allowed here")
ORIGIN: Final = Refusal("forbidden", "the origin is not allowed here")
NO_KEY: Final = Refusal("unauthorized", "the API key is missing or wrong", b"WWW-Authenticate: ApiKey\r\n")
GONE: Final = Refusal("no_route", "the service is no longer here")
