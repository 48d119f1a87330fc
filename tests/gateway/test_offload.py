"""Work off the loop: threads take turns more often while it runs, and as before when it is done."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.offload import TURN_S, offload


async def test_turns_are_short_only_while_something_is_computed():
    usual = sys.getswitchinterval()
    with ThreadPoolExecutor(2) as executor:
        during = await asyncio.gather(*(offload(executor, sys.getswitchinterval) for _ in range(8)))
        assert all(turn <= TURN_S * 1.01 for turn in during)
        with pytest.raises(ZeroDivisionError):
            await offload(executor, divmod, 1, 0)
    assert sys.getswitchinterval() == usual
