"""One packet for a response's headers and its body."""

from __future__ import annotations

import asyncio
from typing import Any


class JoinedWrites:
    """A transport that sends what is written first together with what is written next.

    uvicorn writes the headers of a response, and then its body: two system calls and two packets,
    either of which wakes the client up. Of a small model's response that is a sixth of the time.
    What is written is held until the second write or the end of the tick, whichever is first, so
    that no more than headers wait here and the transport's own flow control applies to all else.

    Parameters
    ----------
    transport : asyncio.Transport
        The transport to write to. All that is not defined here is its own.
    loop : asyncio.AbstractEventLoop
        Whose tick it is.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold the first of two writes, and send it with the second one."""
        if self._held:
            data, self._held = self._held + data, b""
            self._transport.write(data)
        elif data:
            self._held = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Send what is held, and close the transport."""
        self._flush()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent yet."""
        size: int = self._transport.get_write_buffer_size()
        return size + len(self._held)

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)
