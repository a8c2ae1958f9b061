"""The admin application, put together, and the server that runs it."""

from __future__ import annotations

from aiohttp import web

from gateway.admin.access import access
from gateway.admin.answer import NODE
from gateway.admin.body import BODY_BYTES_MAX
from gateway.admin.console_page import add_console
from gateway.admin.events import add_events
from gateway.admin.health import add_health
from gateway.admin.node import Node
from gateway.admin.openapi import add_openapi
from gateway.admin.problem import problems
from gateway.admin.resources import add_resources
from gateway.admin.session import Sessions
from gateway.admin.token import Token
from gateway.control.errors import StartError

# A client that reads slowly does not hold up a shutdown.
_SHUTDOWN_S = 1.0


def make_app(node: Node, token: str) -> web.Application:
    checked, sessions = Token(token), Sessions()
    app = web.Application(middlewares=[problems, access(checked, sessions)], client_max_size=BODY_BYTES_MAX)
    app[NODE] = node
    add_health(app)
    add_resources(app)
    add_events(app)
    add_openapi(app)
    add_console(app, checked, sessions)
    return app


class AdminServer:
    """Serves the admin API at an address until it is stopped."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)

    async def start(self, host: str, port: int) -> str:
        """Listen; the URL it is reached at. Raises StartError."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise StartError(f"the admin API cannot listen on {host}:{port}: {error.strerror or error}") from None
        bound = self._runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        return f"http://{shown}:{bound[1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()
