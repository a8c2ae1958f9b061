from gateway.admin.session import Sessions


def test_a_session_opens_until_it_is_closed() -> None:
    sessions = Sessions()
    first, second = sessions.open(), sessions.open()
    sessions.close(first)
    assert not sessions.holds(first)
    assert sessions.holds(second)


def test_the_oldest_session_gives_way_when_there_are_too_many() -> None:
    sessions = Sessions()
    opened = [sessions.open() for _ in range(300)]
    assert not sessions.holds(opened[0])
    assert sessions.holds(opened[-1])
    assert sum(map(sessions.holds, opened)) == 256
