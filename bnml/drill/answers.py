"""What the proxy answers in a venue's name."""

from __future__ import annotations

from typing import Any, Final

TIMEOUT_STATUS: Final = 504
BANNED_STATUS: Final = 418
TIMEOUT: Final = {
    "code": -1007,
    "msg": "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
}


def banned(until_ms: int) -> dict[str, Any]:
    """The body of 418."""
    return {"code": -1003, "msg": f"Way too much request weight used; IP banned until {until_ms}."}


def timeout_frame(request_id: Any) -> dict[str, Any]:
    """-1007 over the WebSocket API."""
    return {"id": request_id, "status": TIMEOUT_STATUS, "error": TIMEOUT}


def banned_frame(request_id: Any, until_ms: int) -> dict[str, Any]:
    """418 over the WebSocket API."""
    error = {**banned(until_ms), "data": {"serverTime": 0, "retryAfter": until_ms}}
    return {"id": request_id, "status": BANNED_STATUS, "error": error}
