from gateway.control.backoff import Backoff


def test_the_first_early_death_is_followed_at_once_and_then_the_delay_doubles_up_to_a_bound() -> None:
    backoff = Backoff()
    delays = [backoff.delay_s(0.0) for _ in range(40)]
    assert delays[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert max(delays) == delays[-1] == 10.0


def test_a_sound_life_forgets_the_early_deaths() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.delay_s(0.5)
    assert backoff.delay_s(1.0) == 0.0
    assert [backoff.delay_s(0.0), backoff.delay_s(0.0)] == [0.0, 0.1]
