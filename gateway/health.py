"""How the targets are doing: a breaker for each, and a limit of calls that a process has under way there."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from time import monotonic
from types import TracebackType

from gateway.catalog import RouteInfo, TargetInfo
from gateway.conf import TollhouseSettings
from gateway.errors import ProviderError, ProviderTimeout

#: After each failed probe a target is left alone twice as long, up to this many times the first time.
LONGEST = 8
#: Answers that are transient and yet say that the server is well: it asks for patience.
PATIENCE = frozenset({408, 409, 425, 429})


class LeftAlone(ProviderError):
    """A target's breaker is open: no request was made, and another one right now would not be either."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=True, billable=False, status=503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A breaker that has opened, stays open after a probe that failed, or has closed. `open_s` is for how long its target is
    left alone from now on; None: it closed. `error` is what failed last.
    """

    target: TargetInfo
    failures: int
    open_s: float | None
    error: BaseException | None


class Passed(Enum):
    """How a breaker let an attempt pass."""

    CALL = auto()
    PROBE = auto()


class Breaker:
    """Closed: calls pass. Open, after so many failures in a row: they do not, for a time. Half open, after that time: one
    probe passes, and its result decides.
    """

    def __init__(self, most_failures: int, open_s: float) -> None:
        self.most_failures = most_failures
        self._open_s = open_s
        self._failures = 0
        self._times = 0
        self._open_until = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether a call would be turned away now."""
        return self._failures >= self.most_failures and (self._probing or monotonic() < self._open_until)

    @property
    def left_s(self) -> float:
        """For how long calls will still be turned away, in seconds; 0 when the next one may be a probe."""
        return max(0.0, self._open_until - monotonic())

    def enter(self) -> Passed | None:
        """Begins an attempt. None when the target is to be left alone."""
        if self.open:
            return None
        self._probing = self._failures >= self.most_failures
        return Passed.PROBE if self._probing else Passed.CALL

    def leave(self, passed: Passed, *, well: bool | None) -> bool | None:
        """Ends an attempt; None: it was broken off before it showed anything.

        Returns True when the breaker opened, or stays open after a probe; False when it closed; else None.
        """
        if passed is Passed.PROBE:
            self._probing = False
        elif self._failures >= self.most_failures:
            # Begun before the breaker opened, it tells nothing new: one outage fails many calls at once, and the probe decides.
            return None
        if well:
            self._failures = self._times = 0
            return False if passed is Passed.PROBE else None
        if well is not None:
            self._failures += 1
            if self._failures >= self.most_failures:
                self._open_until = monotonic() + self._open_s * min(2**self._times, LONGEST)
                self._times += 1
                return True
        return None


class Health:
    """The targets of a process, by name. One for each gate.

    `told` hears of each breaker that moves.
    """

    def __init__(self, options: TollhouseSettings, told: Callable[[Moved], None]) -> None:
        self._options = options
        self.told = told
        self._breakers: dict[str, Breaker] = {}
        self._slots: dict[tuple[str, int], asyncio.Semaphore] = {}

    @property
    def open(self) -> list[str]:
        """Names of the targets that are left alone now."""
        return sorted(name for name, breaker in self._breakers.items() if breaker.open)

    def breakers(self) -> dict[str, bool]:
        """Whether each target that was called is left alone now."""
        return {name: breaker.open for name, breaker in list(self._breakers.items())}

    def prefer(self, route: RouteInfo) -> RouteInfo:
        """The route with targets that are left alone behind the others."""
        if len(route.targets) == 1 or not (left_alone := self.open):
            return route
        return replace(route, targets=tuple(sorted(route.targets, key=lambda target: str(target) in left_alone)))

    def attempt(self, target: TargetInfo, *, patience_s: float) -> "Watch":
        """A block around an attempt. Waits for a place where the provider has a limit.

        Raises LeftAlone when the target's breaker is open, ProviderTimeout when there is no place in time: neither
        reaches the provider.
        """
        return Watch(self, target, patience_s)

    def breaker(self, name: str) -> Breaker:
        """The breaker of the target of that name."""
        breaker = self._breakers.get(name)
        if breaker is None:
            options = self._options
            breaker = self._breakers[name] = Breaker(options.BREAKER_FAILURES, options.BREAKER_OPEN_S)
        return breaker

    async def place(self, target: TargetInfo, patience_s: float) -> asyncio.Semaphore | None:
        """A place where the provider has a limit, to be released."""
        limit = target.provider.max_concurrent
        if limit is None:
            return None
        # By limit too, so that a changed one holds from the next call on.
        slots = self._slots.setdefault((str(target), limit), asyncio.Semaphore(limit))
        try:
            async with asyncio.timeout(patience_s):
                await slots.acquire()
        except TimeoutError:
            raise ProviderTimeout(
                f"{target} has {limit} calls under way already, its limit in this process, and none of them ended in time.",
                transient=True, billable=False,
            ) from None  # fmt: skip
        return slots


class Watch:
    """The block of `Health.attempt`. No generator, as every attempt passes through."""

    __slots__ = ("_breaker", "_health", "_passed", "_patience_s", "_place", "_target")

    def __init__(self, health: Health, target: TargetInfo, patience_s: float) -> None:
        self._health = health
        self._target = target
        self._patience_s = patience_s
        self._breaker = health.breaker(str(target))

    async def __aenter__(self) -> None:
        self._place = await self._health.place(self._target, self._patience_s)
        passed = self._breaker.enter()
        if passed is None:
            self._give_back()
            times = self._breaker.most_failures
            raise LeftAlone(f"{self._target} failed {times} times in a row and is left alone for a while.")
        self._passed = passed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        well: bool | None = error is None or None
        if isinstance(error, ProviderError):
            well = not error.transient or error.status in PATIENCE
        moved = self._breaker.leave(self._passed, well=well)
        if moved is not None:
            breaker = self._breaker
            open_s = breaker.left_s if moved else None
            self._health.told(Moved(target=self._target, failures=breaker.most_failures, open_s=open_s, error=error))
        self._give_back()

    def _give_back(self) -> None:
        if self._place is not None:
            self._place.release()
