"""The response cache: a reply that was given is given again to the same request of the same tenant, for a time.

A feature says for how long (`cache_ttl_s`; 0, the default: never). The key is a keyed hash of everything that the reply
depends on, as the provider would get it; so pseudonyms in it are those of the request, whoever makes it. What is kept
is the provider's reply, encrypted.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

import orjson

from gateway import keys, secrets
from gateway.attempt import Sent
from gateway.cache.replay import pieces, whole
from gateway.cache.stores import Store, StoreUnavailable
from gateway.catalog import TargetInfo
from gateway.entry import Entry
from gateway.heard import Heard
from gateway.identify import Identified
from gateway.ledger import Bid
from gateway.types import ZERO, Json, Piece

logger = logging.getLogger("tollhouse.cache")

#: Larger replies are not kept, in bytes.
MOST_BYTES = 1_000_000
#: Parts of a request that say nothing about the reply.
APART = frozenset({"stream", "stream_options", "model"})
#: Asks for replies with parts that are not kept.
MORE = ("logprobs", "audio")


@dataclass(slots=True, kw_only=True)
class Lookup:
    """A call's place in the cache. `reply` is what stands there (None: nothing), `provider` who gave it."""

    key: bytes
    ttl_s: int
    provider: str = ""
    reply: dict[str, Json] | None = None

    def bids(self, call: Identified) -> dict[Bid, TargetInfo]:
        """What giving it again costs: nothing. Held all the same, so that switches and budgets of calls count."""
        target = next((t for t in call.route.targets if t.provider.name == self.provider), call.route.targets[0])
        bid = Bid(provider=target.provider.name, model=target.model, usd=ZERO, input_tokens=0, output_tokens=0)
        return {bid: target}

    async def replay(self, sent: Sent, entry: Entry) -> AsyncGenerator[Piece]:
        """The reply as a provider would give it, whole or as a stream, with a usage of nothing."""
        assert self.reply is not None
        target = sent.target
        entry.row |= {"cache_hit": True, "provider": target.provider.name, "model_served": target.model}
        for piece in pieces(self.reply, stream=entry.ask.stream):
            entry.first_token()
            yield piece


class Cache:
    """The cache of a process. A store that is away is as good as an empty one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keeping: set[asyncio.Task[None]] = set()

    async def find(self, call: Identified, address: str, body: Mapping[str, Json]) -> Lookup | None:
        """The call's place, with the reply if there is one; None where the feature does not cache such calls."""
        if not call.feature.cache_ttl_s or call.ask.operation != "chat" or any(body.get(name) for name in MORE):
            return None
        found = Lookup(key=_key(call, address, body), ttl_s=call.feature.cache_ttl_s)
        try:
            value = await self._store.get(found.key)
            if value is not None:
                content = orjson.loads(secrets.decrypt(value, bound_to="cached replies"))
                found.provider, found.reply = content["provider"], content["reply"]
        except (StoreUnavailable, secrets.CannotDecrypt) as error:
            logger.warning("cache: not read: %s", error)
        return found

    def keep(self, place: Lookup, heard: Heard, provider: str) -> None:
        """Keeps a complete reply, in the background."""
        reply = whole(heard)
        content = orjson.dumps({"provider": provider, "reply": reply}) if reply else b""
        if not 0 < len(content) <= MOST_BYTES:
            return
        task = asyncio.create_task(self._put(place, secrets.encrypt(content.decode(), bound_to="cached replies")))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _put(self, place: Lookup, value: str) -> None:
        try:
            await self._store.put(place.key, value, place.ttl_s)
        except StoreUnavailable as error:
            logger.warning("cache: not written: %s", error)

    async def close(self) -> None:
        """Waits for what is being kept."""
        await asyncio.gather(*self._keeping, return_exceptions=True)
        await self._store.close()


def _key(call: Identified, address: str, body: Mapping[str, Json]) -> bytes:
    """A keyed hash (HMAC-SHA256) of feature, tenant, prompt version, targets, output limit, and the request itself."""
    request = {name: value for name, value in body.items() if name not in APART and value is not None}
    targets = sorted(map(str, call.route.targets))
    everything = [call.feature.slug, call.ask.caller.tenant, address, targets, call.max_output_tokens, request]
    text = orjson.dumps(everything, option=orjson.OPT_SORT_KEYS)
    return hmac.new(keys.pepper("cached reply"), text, hashlib.sha256).digest()
