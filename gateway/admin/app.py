"""The admin application, put together, and the server that runs it."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from gateway.admin.access import Guard, access, only_own_hosts
from gateway.admin.answer import NODE
from gateway.admin.body import BODY_BYTES_MAX
from gateway.admin.connections import Connections, content_in_time, in_time
from gateway.admin.console_page import add_console
from gateway.admin.events import add_events
from gateway.admin.health import add_health
from gateway.admin.http_log import HttpLog
from gateway.admin.listening import Listening
from gateway.admin.node import Node
from gateway.admin.openapi import add_openapi
from gateway.admin.problem import problems
from gateway.admin.resources import add_resources
from gateway.admin.session import Sessions
from gateway.admin.token import Token
from gateway.admin.watch import Watch
from gateway.control.errors import StartError

# A client that reads slowly does not hold up a shutdown.
_SHUTDOWN_S = 1.0
# What is still to come of content that nobody wants is read for so long before the connection is closed.
_LINGERING_S = 1.0
_CONNECTIONS = web.AppKey("connections", Connections)
_WATCH = web.AppKey("watch", Watch)
# Where nobody says what the process may have: as few as systems give.
_DESCRIPTORS = 1024


def make_app(
    node: Node,
    token: str,
    *,
    hosts: Collection[str] = (),
    watch: Watch | None = None,
    descriptors: int = _DESCRIPTORS,
) -> web.Application:
    """``hosts``: names that it may be asked by, beside addresses; ``descriptors``: what the process may have."""
    watch = watch or Watch()
    guard, sessions, connections = Guard(Token(token), watch), Sessions(), Connections(watch, descriptors)
    app = web.Application(
        middlewares=[
            in_time(connections),
            problems,
            only_own_hosts(hosts, watch),
            access(guard, sessions, watch),
            content_in_time,
        ],
        client_max_size=BODY_BYTES_MAX,
    )
    app[NODE] = node
    app[_CONNECTIONS] = connections
    app[_WATCH] = watch
    add_health(app)
    add_resources(app)
    add_events(app)
    add_openapi(app)
    add_console(app, guard, sessions, watch)
    return app


class AdminServer:
    """Serves the admin API at an address until it is stopped."""

    def __init__(self, app: web.Application) -> None:
        self._connections = app[_CONNECTIONS]
        self._listening: Listening | None = None
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=HttpLog(app[_WATCH]),
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_S,
            lingering_time=_LINGERING_S,
        )

    async def start(self, host: str, port: int) -> str:
        """Listen; the URL it is reached at. Raises StartError."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._connections.speak_by(server)
        try:
            self._listening = Listening(host, port, self._connections)
        except OSError as error:
            await self._runner.cleanup()
            raise StartError(f"the admin API cannot listen on {host}:{port}: {error.strerror or error}") from None
        host, port = self._listening.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()
