"""Connections that send nothing, or their head bit by bit, are closed: they would keep others out."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["PatientProtocol"]

HEAD_S = 15.0  # until the head of a first request must be there, and that of a next one once it has begun


class PatientProtocol(H11Protocol):
    """uvicorn's own, which waits for ever for a request that never comes."""

    _until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._heard()

    def connection_lost(self, exc: Exception | None) -> None:
        self._heard()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._until is None:
            self._until = self.loop.call_later(HEAD_S, self._give_up)

    def _heard(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None

    def _give_up(self) -> None:
        self._until = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
