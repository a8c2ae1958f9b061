"""A proxy of aiohttp's server and client on uvloop, as one would write it: the framework's price, measured."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from aiohttp import web

_OWN_CONNECTION = frozenset({"host", "connection", "content-length", "transfer-encoding", "date", "server"})
_WHOLE_BYTES_MAX: Final = 64 * 1024  # Small answers in one piece: head and content in one write.


async def serve(ask: dict[str, str]) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(auto_decompress=False, connector=connector) as session:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            fields = [(name, value) for name, value in request.headers.items() if name.lower() not in _OWN_CONNECTION]
            fields.append(("X-Forwarded-For", request.remote or ""))
            content = request.content if request.can_read_body else None
            if request.content_length:
                fields.append(("Content-Length", str(request.content_length)))
            async with session.request(
                request.method, ask["origin"] + request.raw_path, headers=fields, data=content
            ) as upstream:
                relayed = {n: v for n, v in upstream.headers.items() if n.lower() not in _OWN_CONNECTION}
                if (upstream.content_length or 0) <= _WHOLE_BYTES_MAX:
                    return web.Response(status=upstream.status, headers=relayed, body=await upstream.read())
                answer = web.StreamResponse(status=upstream.status, headers=relayed)
                answer.content_length = upstream.content_length
                await answer.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
                return answer

        runner = web.ServerRunner(web.Server(forward))
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ask["certificate"], ask["key"])
        await web.TCPSite(runner, "127.0.0.1", int(ask["port"]), backlog=4096).start()
        await web.TCPSite(runner, "127.0.0.1", int(ask["tls_port"]), backlog=4096, ssl_context=context).start()
        await asyncio.Event().wait()


def main() -> int:
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
