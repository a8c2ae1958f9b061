"""The upstream of these tests: aiohttp in a thread of its own, so that clients of any kind may block."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import WSMsgType, web

from tests.node import free_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PIECE = bytes(range(256)) * 256
STEP_S_MAX = 20.0

PAGE = """\
<!doctype html><meta charset="utf-8"><title>of the origin</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css"><p id="text">as it came</p><script src="script.js"></script>
"""
SCRIPT = """\
async function post(text) {
  const answer = await fetch("echo", {method: "POST", body: text, headers: {"X-Own": "1"}});
  return [answer.status, await answer.text(), answer.headers.get("x-request-id").length > 0];
}
async function read(path) {
  const reader = (await fetch(path)).body.getReader();
  let bytes = 0;
  for (;;) { const {done, value} = await reader.read(); if (done) return bytes; bytes += value.length; }
}
function talk(path, words) {
  return new Promise((resolve, reject) => {
    const heard = [], socket = new WebSocket(`ws://${location.host}${path}`);
    socket.onopen = () => words.forEach(word => socket.send(word));
    socket.onerror = () => reject(new Error("the socket failed"));
    socket.onmessage = event => { heard.push(event.data); if (heard.length === words.length) socket.close(1000); };
    socket.onclose = event => resolve([heard, event.code, event.wasClean]);
  });
}
function listen(path, count) {
  return new Promise((resolve, reject) => {
    const heard = [], events = new EventSource(path);
    events.onmessage = event => {
      heard.push(event.data);
      if (heard.length === count) { events.close(); resolve(heard); } else fetch("next", {method: "POST"});
    };
    events.onerror = () => reject(new Error("the stream broke"));
  });
}
"""


def content(size: int) -> bytes:
    """What `/bytes/{size}` answers."""
    return (PIECE * (size // len(PIECE) + 1))[:size]


def digest(size: int) -> str:
    made = hashlib.sha256()
    for piece in _pieces(size):
        made.update(piece)
    return made.hexdigest()


def _pieces(size: int) -> list[bytes]:
    whole, rest = divmod(size, len(PIECE))
    return [PIECE] * whole + ([PIECE[:rest]] if rest else [])


class Origin:
    """Its port, and the steps it waits for in `/events`."""

    def __init__(self, git_root: Path) -> None:
        self.port = free_port()
        self.git_root = git_root
        self.requests: list[tuple[str, str]] = []  # method and path
        self._loop = asyncio.new_event_loop()
        self._steps: asyncio.Queue[None] = asyncio.Queue()
        self._is_up = threading.Event()
        self._ends = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._is_up.wait(10)

    def step(self) -> None:
        """The event stream may send its next event."""
        self._loop.call_soon_threadsafe(self._steps.put_nowait, None)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 30, middlewares=[self._note])
        app.add_routes(
            [
                web.get("/page", self._text(PAGE, "text/html")),
                web.get("/script.js", self._text(SCRIPT, "text/javascript")),
                web.get("/style.css", self._text("p {color: rgb(1, 2, 3)}", "text/css")),
                web.route("*", "/echo", self._echo),
                web.get("/bytes/{size}", self._bytes),
                web.get("/chunked/{size}", self._chunked),
                web.route("*", "/sum", self._sum),
                web.get("/moved", self._moved),
                web.get("/cookie", self._cookie),
                web.get("/events/{count}", self._events),
                web.post("/next", self._next),
                web.get("/ws", self._websocket),
                web.static("/static-git", self.git_root),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._is_up.set()
        await self._ends.wait()
        await runner.cleanup()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        return await handler(request)

    @staticmethod
    def _text(text: str, kind: str) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=text, content_type=kind)

        return answer

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), content_type="application/octet-stream")

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        size = int(request.match_info["size"])
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        return await self._send(request, response, size)

    async def _chunked(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        return await self._send(request, response, int(request.match_info["size"]))

    async def _send(self, request: web.Request, response: web.StreamResponse, size: int) -> web.StreamResponse:
        await response.prepare(request)
        for piece in _pieces(size):
            await response.write(piece)
        await response.write_eof()
        return response

    async def _sum(self, request: web.Request) -> web.Response:
        made, size = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            made.update(piece)
            size += len(piece)
        return web.json_response({"bytes": size, "sha256": made.hexdigest()})

    async def _moved(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "bytes/10"})

    async def _cookie(self, request: web.Request) -> web.Response:
        answer = web.Response(text=request.cookies.get("seen", "no"))
        answer.set_cookie("seen", "yes")
        answer.set_cookie("other", "1")
        return answer

    async def _events(self, request: web.Request) -> web.StreamResponse:
        while not self._steps.empty():
            self._steps.get_nowait()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        async for text in self._stepwise(int(request.match_info["count"])):
            await response.write(text)
        await response.write_eof()
        return response

    async def _stepwise(self, count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            if number:
                async with asyncio.timeout(STEP_S_MAX):
                    await self._steps.get()
            yield b"data: event %d\n\n" % number

    async def _next(self, request: web.Request) -> web.Response:
        self._steps.put_nowait(None)
        return web.Response(status=204)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket
