"""An error answer of the API."""

from __future__ import annotations


class ApiError(Exception):
    """Raised where a request is refused; becomes ``{"Response": {"Error": {"Code", "Message"}}}``, or COS's XML."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
