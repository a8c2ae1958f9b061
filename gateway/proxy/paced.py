"""The pace of a client's connection: who reads slowly is read from slowly, and what is too much for one turn of the
loop, which is everybody's, is done in several. Memory stays flat.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final, cast

from gateway.http.chunked import ChunkedDecoder
from gateway.proxy.core import Core
from gateway.proxy.progress import unsent_bytes
from gateway.proxy.slow import SLOW_BYTES_S, SLOW_S, STALLED_S
from gateway.proxy.state import EXCHANGE, HEAD, LINGER, State
from gateway.proxy.target import Target
from gateway.proxy.upstream import UpstreamConnection

PIPELINED_BYTES_MAX: Final = 64 * 1024  # Of requests that wait; with more of them reading stops.


class Paced:
    """What has to do with when it reads and writes. Slots stand in the order of their lifetime."""

    __slots__ = (
        # the connection
        "_core",
        "transport",
        "deadline_s",
        "_state",
        "_buffer",
        "_buffer_at",
        "_is_queued",
        "_is_read_paused",
        "_read_paused_s",
        "is_write_paused",
        "_write_paused_s",
        "_unsent_bytes",
        # the exchange
        "_content_left",
        "_content_bytes",
        "_content_began_s",
        "_window_s",
        "_window_bytes",
        "_is_dripping",
        "_decoder",
        "_is_answered",
        "_upstream",
    )

    def __init__(self, core: Core) -> None:
        self._core = core
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # set before any callback uses it
        self.deadline_s = inf
        self._state: State = HEAD
        self._buffer = b""  # What has come and is not read yet, from ``_buffer_at`` on.
        self._buffer_at = 0
        self._is_queued = False  # Whether it has asked for a turn.
        self._is_read_paused = False
        self._read_paused_s = 0.0
        self.is_write_paused = False
        self._write_paused_s = 0.0
        self._unsent_bytes = 0  # when the deadline was set, of an answer that waits to be taken
        self._content_left = 0  # bytes of the request's content still to come, CHUNKED while unknown
        self._content_bytes = 0  # those that have come
        self._content_began_s = 0.0  # later by what it was we who did not read
        self._window_s = 0.0  # since when its pace is looked at, and how much had come then
        self._window_bytes = 0
        self._is_dripping = False  # Whether it came slowly in the window before.
        self._decoder: ChunkedDecoder | None = None
        self._is_answered = False
        self._upstream: UpstreamConnection | None = None

    # --- what else the connection is

    @property
    def service_idle_timeout_s(self) -> float:
        raise NotImplementedError

    @property
    def reader_timeout_s(self) -> float:
        """How long an answer waits to be taken, without progress."""
        raise NotImplementedError

    def _wait_for_request(self) -> None:
        raise NotImplementedError

    def _read_on(self) -> None:
        """Reads the requests that came while another was under way, or while this connection waited for its turn."""
        raise NotImplementedError

    def _read_content_on(self) -> None:
        raise NotImplementedError

    # --- turns

    def _ask_for_turn(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self._core.turns.ask(self._take_turn)

    def _take_turn(self) -> None:
        """Goes on with what has come."""
        self._is_queued = False
        state = self._state
        if state is HEAD:
            self._read_on()
        elif state is EXCHANGE:
            self._read_content_on()
        elif state is LINGER:
            self.resume_reading()

    # --- reading

    def pause_reading(self) -> None:
        if not self._is_read_paused and not self.transport.is_closing():
            self._stop_reading()
            if not self.is_write_paused:
                self.deadline_s = inf  # It is we who do not read.

    def _stop_reading(self) -> None:
        """Until this connection's turn. What it has to do meanwhile is due as before."""
        if not self._is_read_paused and not self.transport.is_closing():
            self._is_read_paused = True
            self._read_paused_s = self._core.read_clock()
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._is_read_paused or self.transport.is_closing():
            return
        if self._decoder is not None and self._decoder.has_more:
            self._ask_for_turn()  # What has come is read first.
            return
        if self._content_left or len(self._buffer) - self._buffer_at <= PIPELINED_BYTES_MAX:
            self._read_more()  # Else when some of the requests that wait have been answered.

    def _read_more(self) -> None:
        if not self._is_read_paused or self.transport.is_closing():
            return
        self._is_read_paused = False
        self.transport.resume_reading()
        if self._content_left:
            now_s = self._core.read_clock()
            self._content_began_s += now_s - self._read_paused_s
            self._window_s, self._window_bytes = now_s, self._content_bytes
            self.deadline_s = now_s + self._core.bounds.body_timeout_s

    def _keep(self, data: bytes) -> None:
        """Requests that come while another is under way."""
        self._buffer = self._buffer[self._buffer_at :] + data
        self._buffer_at = 0

    def _take_buffer(self) -> bytes:
        data = self._buffer[self._buffer_at :]
        self._buffer, self._buffer_at = b"", 0
        return data

    # --- writing

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self._write_paused_s = self._core.read_clock()
        self._unsent_bytes = 0
        self._wait_for_reader()
        if self._upstream is not None:
            self._upstream.pause_reading()
            self._upstream.deadline_s = inf

    def resume_writing(self) -> None:
        now_s = self._core.read_clock()
        self.is_write_paused = False
        self._unsent_bytes = 0
        if self._state is HEAD:
            self._wait_for_request()
        elif self._state is not LINGER:
            self.deadline_s = now_s + self._core.bounds.body_timeout_s if self._content_left else inf
        upstream = self._upstream
        if upstream is not None:
            upstream.resume_reading()
            upstream.deadline_s = now_s + self.service_idle_timeout_s

    def _wait_for_reader(self) -> None:
        """An answer waits to be taken: on with it while there is progress, else it is not waited for."""
        unsent = unsent_bytes(self.transport)
        if 0 < self._unsent_bytes <= unsent:
            self.transport.abort()
            return
        self._unsent_bytes = unsent
        self.deadline_s = self._core.read_clock() + self.reader_timeout_s

    # --- others want what this one has

    @property
    def target(self) -> Target | None:
        """Whose connection its exchange has."""
        return None if self._upstream is None else self._upstream.target

    def slow_s(self, now_s: float) -> float:
        """For how long the exchange has been slow by the client's doing; 0 where it is not (`slow.py`)."""
        if self.is_write_paused:
            paused_s = now_s - self._write_paused_s
            return paused_s if paused_s >= STALLED_S else 0.0
        if not self._content_left or self._is_answered or self._is_read_paused:
            return 0.0
        if now_s - self._window_s >= SLOW_S:
            self._look_at_pace(now_s)
        return now_s - self._content_began_s if self._is_dripping else 0.0

    def _look_at_pace(self, now_s: float) -> None:
        """Of the content that came since it was last looked at; another look begins."""
        self._is_dripping = self._content_bytes - self._window_bytes < SLOW_BYTES_S * (now_s - self._window_s)
        self._window_s, self._window_bytes = now_s, self._content_bytes
