"""The ways out: SMTP and signed webhooks. Each sends once, and raises what went wrong.

NotDelivered says why in its text; of any other error only the name is for the log: its text may hold an address with a
secret in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
import aiosmtplib

from config.schema import Smtp
from gateway.notify.message import Message

SMTP_PASSWORD: Final = "TOLLGATE_SMTP_PASSWORD"  # noqa: S105  (the variable's name)
# A receiver that takes longer is tried again later; a try must not hold up the others.
TIMEOUT_S: Final = 10.0
SIGNATURE_FIELD: Final = "Tollgate-Signature"


class NotDelivered(Exception):
    """Says why, without secrets; to be tried again."""


class Mailer:
    """Hands mail to the configured server."""

    def __init__(self, smtp: Smtp, environ: Mapping[str, str] = os.environ) -> None:
        self._smtp = smtp
        self._password = environ.get(SMTP_PASSWORD) or _content(smtp.password_file)

    async def send(self, message: Message, recipient: str) -> None:
        smtp = self._smtp
        try:
            async with asyncio.timeout(TIMEOUT_S):  # of the whole: a server may say a little each second
                await aiosmtplib.send(
                    message.mail(smtp.sender, recipient),
                    hostname=smtp.host,
                    port=smtp.port,
                    username=smtp.user,
                    password=self._password if smtp.user else None,
                    use_tls=smtp.security == "tls",
                    start_tls=smtp.security == "starttls",
                    timeout=TIMEOUT_S,
                )
        except Exception as error:
            raise NotDelivered(f"{smtp.host}:{smtp.port}: {type(error).__name__}") from None


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=SECONDS,v1=HMAC-SHA256(SECONDS.BODY)` in hex: the time is signed too, so that an old one can be refused."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Webhooks:
    """POSTs to receivers; any 2xx is delivered, redirects are not followed."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message, url: str, at: int) -> None:
        """`at`: the machine's own time, epoch seconds, in the signature."""
        body = message.document()
        fields = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.key,
            SIGNATURE_FIELD: signature(self._secret, at, body),
            "User-Agent": "tollgate",
        }
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # One for each try: of a receiver's answer nothing is read but its head.
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                auto_decompress=False,
            )
        async with self._session.post(url, data=body, headers=fields, allow_redirects=False) as answer:
            status = answer.status
        if not 200 <= status < 300:
            raise NotDelivered(f"answered {status}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _content(path: Path | None) -> str | None:
    """Of a secret's file, read anew by each sender, so that it can be changed."""
    return None if path is None else path.read_text(encoding="utf-8").strip()
