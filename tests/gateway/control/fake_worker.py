"""A stand-in for a worker, run as a script: speaks the channel, answers every connection, and dies on request.

An answer is ``<pid> <version>`` and the connection closes. Keys of the snapshot document steer it: ``crash`` (exit at
start), ``crash_slot`` (the same, in one slot), ``deaf`` (never applies a later snapshot), ``stubborn`` (ignores
drains), ``mute`` (does not beat).
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    boot = json.loads(sys.argv[1])
    snapshot = json.loads(Path(boot["snapshot"]).read_text())
    if snapshot.get("crash") or snapshot.get("crash_slot") == boot["slot"]:
        os._exit(3)
    state = {"version": snapshot["version"]}
    draining = threading.Event()

    def on_term(*_: object) -> None:
        if not snapshot.get("stubborn"):
            draining.set()

    signal.signal(signal.SIGTERM, on_term)
    channel = socket.socket(fileno=boot["channel_fd"])

    def tell(message: dict) -> None:
        try:
            channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def hear() -> None:
        with channel.makefile("r") as lines:
            for line in lines:
                message = json.loads(line)
                if message["do"] == "snapshot" and not snapshot.get("deaf"):
                    state["version"] = message["version"]
                    tell({"at": "applied", "version": message["version"]})
                elif message["do"] == "drain":
                    on_term()

    def beat() -> None:
        while True:
            time.sleep(1.0)
            tell({"at": "beat"})

    lent: dict[int, threading.Event] = {}  # by slot: set when it is given back

    def help_out() -> None:
        handovers = socket.socket(fileno=boot["handover_fd"])
        handovers.setblocking(True)
        while True:
            message, fds, _, _ = socket.recv_fds(handovers, 256, 64)
            if not message:
                return
            slot = json.loads(message)["slot"]
            if slot in lent:
                lent.pop(slot).set()
            if fds:
                over = lent[slot] = threading.Event()
                for fd in fds:
                    threading.Thread(target=serve, args=(socket.socket(fileno=fd), over), daemon=True).start()

    def serve(listener: socket.socket, over: threading.Event) -> None:
        while not draining.is_set() and not over.is_set():
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                time.sleep(0.005)
                continue
            with client:
                client.sendall(f"{os.getpid()} {state['version']}".encode())

    for listener in boot["listeners"]:
        threading.Thread(target=serve, args=(socket.socket(fileno=listener["fd"]), draining), daemon=True).start()
    threading.Thread(target=hear, daemon=True).start()
    threading.Thread(target=help_out, daemon=True).start()
    if not snapshot.get("mute"):
        threading.Thread(target=beat, daemon=True).start()
    tell({"at": "ready", "pid": os.getpid()})
    draining.wait()
    os._exit(0)


main()
