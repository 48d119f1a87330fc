"""The gate of a process: the catalog, the ledger, the connections to providers, all in one event loop."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from gateway import settle
from gateway.cache import Cache
from gateway.cache.stores import store
from gateway.catalog import Catalog, load, watch
from gateway.conf import TollhouseSettings, settings
from gateway.drains import Drains
from gateway.health import Health
from gateway.key_use import KeyUses
from gateway.ledger import Ledger, Writer
from gateway.ledger.database import connection_parameters
from gateway.ledger.spooling import SpoolingLedger
from gateway.offload import in_thread, offload
from gateway.prompts.observed import Observed, Observer
from gateway.prompts.renderer import Renderer
from gateway.providers.connect import session
from gateway.running import Running
from gateway.session_maps import SessionMaps
from gateway.steps import writer as steps
from gateway.telemetry import process as telemetry
from gateway.trips import Trips
from redaction import apart, engine

logger = logging.getLogger("tollhouse.gate")


class Gate:
    """Everything that a call needs and calls share. Made and closed in the loop that it serves.

    `process` is the ledger's owner in this process; a gate that stands in for this one in tests has none.
    """

    def __init__(
        self,
        catalog: Catalog,
        options: TollhouseSettings,
        executor: ThreadPoolExecutor,
        *,
        ledger: Ledger,
        observed: Observer,
        watched: bool = True,
        process: UUID | None = None,
    ) -> None:
        self.catalog = catalog
        #: Where texts are analysed; and where tokens are counted and texts hashed, so that this waits for no analysis.
        self.executor = executor
        self.counting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tollhouse-counting")
        self.most_body_bytes = options.MAX_BODY_BYTES
        self.observed = observed
        self.renderer = Renderer()
        self.cache = Cache(store(options.CACHE_URL, connection_parameters()))
        self.sessions = SessionMaps(connection_parameters())
        self.trips = Trips(connection_parameters(), process)
        # A gate of a test that stands in for this one has no database to tell.
        self.health = Health(options, self.trips.note if watched else lambda *_: None)
        #: By what telemetry knows this gate; None where it is not told of it.
        self.told: telemetry.Source | None = None
        self.running = Running()
        self.drains = Drains(options.MAX_DRAINS)
        self.ledger = ledger
        self.key_uses = KeyUses(connection_parameters())
        self.http = session(allow_private=options.ALLOW_PRIVATE_UPSTREAMS)
        if watched and any(feature.policy.needs_names for feature in catalog.features.values()):
            executor.submit(_warm)
        self._watching = (
            asyncio.create_task(watch(self._swap, catalog, self.running), name="tollhouse-catalog") if watched else None
        )

    @classmethod
    async def open(cls) -> "Gate":
        """A gate with the catalog as it is now. Raises django.db.OperationalError when the database is away."""
        options = settings()
        executor = ThreadPoolExecutor(max_workers=options.REDACTION_THREADS, thread_name_prefix="tollhouse-redaction")
        catalog = await offload(executor, load)
        connect = connection_parameters()
        writer = Writer(connect, options)
        ledger = SpoolingLedger(writer, connect, options) if options.SPOOL_DIR else writer
        gate = cls(catalog, options, executor, ledger=ledger, observed=Observed(), process=writer.owner)
        gate.told = telemetry.watch(gate)
        return gate

    def _swap(self, catalog: Catalog) -> None:
        self.catalog = catalog

    async def close(self) -> None:
        """Waits for the rows of calls that have ended, then closes everything."""
        self.drains.stop()
        await settle.settled()
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.observed.close()
        await self.cache.close()
        await self.sessions.close()
        await self.key_uses.close()
        await self.trips.close()
        await self.ledger.stop()
        await in_thread(steps.flush)
        if self.told:
            await telemetry.forget(self.told)
        await self.http.close()
        self.executor.shutdown()
        self.counting.shutdown()
        self.renderer.close()


def _warm() -> None:
    """Builds the redaction engine, which takes seconds, before the first call needs it."""
    try:
        apart.warm()
    except (OSError, ValueError, engine.AnalyzerAway) as error:
        logger.error(
            "TOLLHOUSE_REDACTION_MODEL=%r cannot be loaded, so calls that need it are refused; install it, or leave it "
            "empty to look for patterns only: %s", engine.model(), str(error).splitlines()[0],
        )  # fmt: skip
