"""A wire that counts: between a client and the gateway, it passes bytes on both ways and knows how many they were."""

from __future__ import annotations

import contextlib
import socket
import threading


class CountingWire:
    """Listens on a port of its own and connects each client to the gateway's. Ends of file pass as they come."""

    def __init__(self, gateway_port: int) -> None:
        self._gateway_port = gateway_port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.to_gateway = 0
        self.to_client = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            gateway = socket.create_connection(("127.0.0.1", self._gateway_port))
            self.connections += 1
            for one in (client, gateway):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.add(one)
            for source, sink in ((client, gateway), (gateway, client)):
                thread = threading.Thread(target=self._pump, args=(source, sink, sink is gateway))
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_to_gateway: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(262_144):
                with self._lock:
                    # Before they go on, so that who has read them finds them counted.
                    if is_to_gateway:
                        self.to_gateway += len(data)
                    else:
                        self.to_client += len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()
