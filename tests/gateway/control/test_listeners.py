import socket
from collections.abc import Iterator

import pytest

from gateway.control.errors import StartError
from gateway.control.listeners import ListenerShelf, Place
from tests.gateway.control.conditions import free_port


@pytest.fixture
def shelf() -> Iterator[ListenerShelf]:
    shelf = ListenerShelf()
    yield shelf
    shelf.close()


def test_slots_of_an_entry_have_sockets_of_their_own_on_one_address(shelf: ListenerShelf) -> None:
    port = free_port()
    places = [Place("127.0.0.1", port, slot) for slot in range(3)]
    sockets = shelf.open(places)
    assert {listener.getsockname() for listener in sockets.values()} == {("127.0.0.1", port)}
    assert len({listener.fileno() for listener in sockets.values()}) == 3


def test_a_place_keeps_its_socket(shelf: ListenerShelf) -> None:
    place = Place("127.0.0.1", free_port(), 0)
    assert shelf.open([place])[place] is shelf.open([place])[place]


def test_an_address_of_another_program_is_refused_though_it_shares_ports(shelf: ListenerShelf) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}"):
            shelf.open([Place("127.0.0.1", port, 0)])
        assert shelf.open([Place("127.0.0.1", port, 0)], is_shared=True)


def test_what_cannot_be_opened_whole_leaves_nothing_open(shelf: ListenerShelf) -> None:
    good = Place("127.0.0.1", free_port(), 0)
    with pytest.raises(StartError, match=r"192\.0\.2\.1:80"):
        shelf.open([good, Place("192.0.2.1", 80, 0)])
    with socket.socket() as probe:
        probe.bind((good.host, good.port))


def test_a_place_that_is_not_kept_is_closed(shelf: ListenerShelf) -> None:
    kept, dropped = Place("127.0.0.1", free_port(), 0), Place("127.0.0.1", free_port(), 0)
    shelf.open([kept, dropped])
    shelf.keep_only([kept])
    with socket.create_connection((kept.host, kept.port), 1):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((dropped.host, dropped.port), 1)
