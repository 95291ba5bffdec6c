from __future__ import annotations

import asyncio
import time

import pytest

from reverie.server.hosting.room import Room
from reverie.server.http.errors import RequestError


def test_places_are_given_in_the_order_in_which_people_came() -> None:
    async def scene() -> list[str]:
        room, came = Room(2, 9), list[str]()
        await room.enter(2)

        async def come(name: str, count: int) -> None:
            await room.enter(count)
            came.append(name)

        waiting = [asyncio.create_task(come(name, count)) for name, count in (("two", 2), ("one", 1))]
        await asyncio.sleep(0)
        assert (room.running, room.waiting) == (2, 3)
        room.leave(1)
        await asyncio.sleep(0)
        assert came == []  # one place would do for the second, whose turn it is not
        room.leave(1)
        await asyncio.sleep(0)
        assert came == ["two"]
        room.leave(1)
        await asyncio.gather(*waiting)
        return came

    assert asyncio.run(scene()) == ["two", "one"]


def test_who_finds_no_place_is_told_when_to_come_back() -> None:
    async def scene() -> RequestError:
        room = Room(1, 1)
        await room.enter()
        room.leave(1, time.monotonic() - 30)  # that one took half a minute
        await room.enter()
        waiting = asyncio.create_task(room.enter())
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as error:
            await room.enter()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (room.running, room.waiting) == (1, 0)
        return error.value

    error = asyncio.run(scene())
    assert (error.status, error.code) == (503, "busy")
    assert error.retry_after in (60, 61)


def test_a_turn_that_does_not_come_in_time_is_given_up_and_nothing_is_lost() -> None:
    async def scene() -> None:
        room = Room(1, 5)
        await room.enter()
        with pytest.raises(RequestError, match=r"within 0\.01 seconds"):
            await room.enter(seconds=0.01)
        late = asyncio.create_task(room.enter())
        await asyncio.sleep(0)
        room.leave()
        late.cancel()  # just as its turn came
        await asyncio.gather(late, return_exceptions=True)
        assert (room.running, room.waiting) == (0, 0)
        await room.enter(seconds=1)

    asyncio.run(scene())


def test_a_closed_room_sends_everybody_away() -> None:
    async def scene() -> None:
        room = Room(1, 5)
        await room.enter()
        waiting = asyncio.create_task(room.enter())
        await asyncio.sleep(0)
        room.close()
        for late in (waiting, room.enter()):
            with pytest.raises(RequestError, match="closing"):
                await late
        with pytest.raises(RequestError, match="at most 1"):
            await Room(1, 1).enter(2)

    asyncio.run(scene())
