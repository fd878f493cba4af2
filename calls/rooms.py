"""The names of conference rooms. A room that we hand out for a waiting caller is `queue-<their call SID>`; any other is somebody's own."""

from __future__ import annotations

import re

PREFIX = "queue-"
# What a provider issues as a call's id. `queue-support` is no call's room, and must tie nobody together.
_ISSUED = re.compile(
    r"HD_\w+|ATVId_\w+|call_[\w.\-]+|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=\D*\d)[\w.:\-]{12,256}", re.ASCII
)


def call_of_room(room: str) -> str | None:
    """The SID of the caller whom the room was made for, None where it is no room of ours."""
    if not room.startswith(PREFIX):
        return None
    sid = room[len(PREFIX) :]
    return sid if _ISSUED.fullmatch(sid) else None
