"""The product's ASGI application with one more path, `/census`: what is alive in the process. For `make chaos` only."""

import asyncio
import json
import threading
from collections import Counter

import psutil

from deploy.asgi import application as product


async def application(scope, receive, send):
    if scope["type"] != "http" or scope["path"] != "/census":
        await product(scope, receive, send)
        return
    body = json.dumps(census(int(scope["server"][1]))).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def census(port: int) -> dict[str, int]:
    """How many there are of each kind of task (by coroutine) and thread (by name), and of connections to this port."""
    found = Counter(f"task {task.get_coro().__qualname__}" for task in asyncio.all_tasks())
    found.update(f"thread {thread.name.rstrip('0123456789_')}" for thread in threading.enumerate())
    process = psutil.Process()
    found["threads of the system"] = process.num_threads()
    connections = process.net_connections("tcp")
    found["connections of clients"] = sum(c.laddr.port == port and c.raddr != () for c in connections)
    return found
