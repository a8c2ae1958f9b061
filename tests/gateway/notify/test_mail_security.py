"""Mail over STARTTLS and over TLS to a real server: verified, and never a password in the clear."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from config.schema import Smtp
from gateway.notify.channels import Mailer, NotDelivered
from gateway.notify.message import Message
from tests.certificates import Authority
from tests.gateway.notify.mail_server import PASSWORD, USER, mail_server

MESSAGE = Message("a-1", "a", "arrears", "2024-01-31T17:00:00Z", "arrears")


@pytest.fixture
def server_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ssl.SSLContext]:
    """A context for a name, signed by an authority that this machine believes."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))

    def context(name: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(*authority.issue("mail", name).paths)
        return made

    return context


def mailer(port: int, security: str) -> Mailer:
    smtp = Smtp.model_validate(
        {"host": "localhost", "port": port, "security": security, "sender": "gate@example.com", "user": USER}
    )
    return Mailer(smtp, {"TOLLGATE_SMTP_PASSWORD": PASSWORD})


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_over_tls_with_the_password(
    security: str, server_side: Callable[[str], ssl.SSLContext]
) -> None:
    context = server_side("localhost")
    way = {"starttls": context} if security == "starttls" else {"implicit": context}
    async with mail_server(**way) as inbox:
        await mailer(inbox.port, security).send(MESSAGE, "ops@acme.example")
    [(sender, recipients, mail)] = inbox.mails
    assert (sender, recipients, mail["Message-ID"]) == ("gate@example.com", ["ops@acme.example"], "<a-1@example.com>")
    assert inbox.over_tls == [True]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_under_another_name_gets_neither_password_nor_mail(
    security: str, server_side: Callable[[str], ssl.SSLContext]
) -> None:
    context = server_side("mail.example")
    way = {"starttls": context} if security == "starttls" else {"implicit": context}
    async with mail_server(**way) as inbox:
        with pytest.raises(NotDelivered, match=r"localhost:\d+: "):
            await mailer(inbox.port, security).send(MESSAGE, "ops@acme.example")
    assert (inbox.mails, inbox.sign_ins) == ([], [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_without_tls_gets_neither_password_nor_mail(security: str) -> None:
    """Also where somebody between the two strips the offer of STARTTLS."""
    async with mail_server() as inbox:
        with pytest.raises(NotDelivered):
            await mailer(inbox.port, security).send(MESSAGE, "ops@acme.example")
    assert (inbox.mails, inbox.sign_ins) == ([], [])
