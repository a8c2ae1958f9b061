"""A mail server that wants the password, with and without TLS."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER, PASSWORD = "tollgate", "mail-secret"


class Inbox:
    """Each mail with its sender and recipients, and whether it came over TLS; what was tried to sign in with."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], Message]] = []
        self.over_tls: list[bool] = []
        self.sign_ins: list[tuple[bytes, bytes]] = []
        self.port = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, message_from_bytes(envelope.content)))
        self.over_tls.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.sign_ins.append((data.login, data.password))
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()))


@asynccontextmanager
async def mail_server(
    *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None
) -> AsyncIterator[Inbox]:
    """`starttls`: offered, and required before anything is said. `implicit`: TLS from the first byte."""
    inbox = Inbox()
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # It advises against passwords without TLS.
            return SMTP(
                inbox, authenticator=inbox.authenticate, auth_required=True, auth_require_tls=starttls is not None,
                tls_context=starttls, require_starttls=starttls is not None, loop=loop,
            )  # fmt: skip

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=implicit)
    inbox.port = server.sockets[0].getsockname()[1]
    yield inbox
    server.close()
    await server.wait_closed()
