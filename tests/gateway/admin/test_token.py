from pathlib import Path

from gateway.admin.token import Token, open_token, read_token, token_file


def test_a_token_is_made_once_readable_by_its_owner_only(tmp_path: Path) -> None:
    token = open_token(tmp_path, {})
    assert len(token) >= 40
    assert token_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert open_token(tmp_path, {}) == read_token(tmp_path, {}) == token


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    open_token(tmp_path, {})
    assert read_token(tmp_path, {"TOLLGATE_ADMIN_TOKEN": "given"}) == "given"


def test_without_either_there_is_none_yet(tmp_path: Path) -> None:
    assert read_token(tmp_path, {"TOLLGATE_ADMIN_TOKEN": " "}) is None


def test_only_the_very_token_matches() -> None:
    token = Token("abc")
    assert token.matches("abc")
    assert not any(map(token.matches, ("", "ab", "abcd", "ABC", "abc\udcff")))
