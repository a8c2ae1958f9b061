"""A test origin: an upstream whose answers are asked for by the path. ``python -m loadtest.origin --port 9001``.

/bytes/N  N bytes · /chunked/N  the same in chunks · /echo  the request's content · /status/N  that status ·
/slow/S  an answer after S seconds · /head  the request as it arrived, as JSON · /cut/N  N of N+1 promised bytes ·
/json  a small document · /sink  reads the content and says how much it was ·
/large/N  N bytes of `loadtest.content` · /sum  length and SHA-256 of the request's content, as JSON
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import socket
import sys

import uvloop
from aiohttp import web

from loadtest.content import pieces

CHUNK = b"x" * 65_536


async def _bytes(request: web.Request) -> web.StreamResponse:
    size = int(request.match_info["n"])
    if size <= len(CHUNK):
        return web.Response(body=CHUNK[:size], content_type="application/octet-stream")
    response = web.StreamResponse(headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"})
    return await _write(request, response, size)


async def _chunked(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    return await _write(request, response, int(request.match_info["n"]))


async def _write(request: web.Request, response: web.StreamResponse, size: int) -> web.StreamResponse:
    await response.prepare(request)
    while size > 0:
        await response.write(CHUNK[: min(size, len(CHUNK))])
        size -= len(CHUNK)
    await response.write_eof()
    return response


async def _large(request: web.Request) -> web.StreamResponse:
    size = int(request.match_info["n"])
    response = web.StreamResponse(headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"})
    await response.prepare(request)
    for piece in pieces(size):
        await response.write(piece)
    await response.write_eof()
    return response


async def _sum(request: web.Request) -> web.StreamResponse:
    digest, size = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        digest.update(piece)
        size += len(piece)
    return web.json_response({"bytes": size, "sha256": digest.hexdigest()})


async def _cut(request: web.Request) -> web.StreamResponse:
    size = int(request.match_info["n"])
    response = web.StreamResponse(headers={"Content-Length": str(size + 1)})
    await response.prepare(request)
    await response.write(b"x" * size)
    assert request.transport is not None
    request.transport.close()
    return response


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read(), content_type="application/octet-stream")


async def _json(request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {"id": 4711, "name": "a kettle", "price": "24.90", "stock": 17, "tags": ["kitchen", "steel"]}
    )


async def _sink(request: web.Request) -> web.StreamResponse:
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.json_response({"bytes": size})


async def _status(request: web.Request) -> web.StreamResponse:
    return web.Response(status=int(request.match_info["n"]), text="as asked\n")


async def _slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(float(request.match_info["s"]))
    return web.Response(text="at last\n")


async def _head(request: web.Request) -> web.StreamResponse:
    fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
    return web.json_response({"method": request.method, "target": request.raw_path, "fields": fields})


async def _health(request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok\n")


async def _websocket(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is web.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is web.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


def application() -> web.Application:
    app = web.Application(client_max_size=1 << 40)
    app.router.add_get("/healthz", _health)
    app.router.add_get("/ws", _websocket)
    for path, handler in {
        "/bytes/{n:\\d+}": _bytes,
        "/chunked/{n:\\d+}": _chunked,
        "/cut/{n:\\d+}": _cut,
        "/echo": _echo,
        "/json": _json,
        "/sink": _sink,
        "/large/{n:\\d+}": _large,
        "/sum": _sum,
        "/status/{n:\\d+}": _status,
        "/slow/{s}": _slow,
        "/head": _head,
    }.items():
        app.router.add_route("*", path, handler)
    return app


async def serve(listening: socket.socket) -> None:
    runner = web.AppRunner(application(), access_log=None, keepalive_timeout=300)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await asyncio.Event().wait()


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--port", type=int, default=0, help="0 takes a free one; the port is printed")
    ask.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    options = ask.parse_args()
    listening = socket.create_server((options.host, options.port), backlog=4096)
    print(listening.getsockname()[1], flush=True)
    try:
        uvloop.run(serve(listening))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
