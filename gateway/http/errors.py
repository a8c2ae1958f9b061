"""What can be wrong with a message, and what its sender's side is answered."""


class ProtocolError(Exception):
    """A peer broke the protocol. ``code`` is one of DESIGN 1.5's, ``detail`` is safe to show."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
