"""Change the login of a connection while it runs: the new one is proven before the old one is given up.

What is proposed is tried out beside the connection that is there (`LoginProof`). Where the server lets it in, the
connection is made anew with it, at once; what was on the way goes on in the same session. Where it is refused the old
login stays, and ``problem`` says so until something better is proposed. Where nobody can say (the server is away), it
is tried again, with pauses, and the old login goes on as it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Literal

from fieldgate.config.broker import BrokerConfig
from fieldgate.mqtt.endings import Cause
from fieldgate.net.backoff import Backoff
from fieldgate.net.broker_connection import BrokerConnection, Timing

__all__ = ["Became", "Rotation"]

Became = Literal["changed", "refused", "not_proven"]
"""What has become of a login that was proposed."""


class Rotation:
    """The logins of ``connection`` in turn. ``told`` hears what became of each and why, once."""

    def __init__(
        self,
        connection: BrokerConnection,
        *,
        told: Callable[[Became, str], None],
        rng: Random,
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing()
        self.problem = ""
        self._connection = connection
        self._told = told
        self._backoff = Backoff(rng, base_s=timing.base_s, cap_s=timing.cap_s)
        self._proposed: BrokerConfig | None = None
        self._is_news = asyncio.Event()

    def propose(self, config: BrokerConfig) -> None:
        """Connect by ``config`` from now on, if it proves good; where it is what is in use, there is nothing to do."""
        is_known = self._connection.proof_of(config) is None
        self._proposed = None if is_known else config
        if is_known:
            self.problem = ""
        self._is_news.set()

    async def run(self) -> None:
        """Try out what is proposed, until cancelled."""
        while True:
            await self._is_news.wait()
            self._is_news.clear()
            config = self._proposed
            self._backoff.reset()
            while config is not None and config is self._proposed and not await self._settle(config):
                await self._rest()

    async def _settle(self, config: BrokerConfig) -> bool:
        """Try it out; return whether there is nothing left to do about it."""
        connection = self._connection
        proof = connection.proof_of(config)
        if proof is None:  # it has come to be made by it meanwhile
            self._proposed, self.problem = None, ""
            return True
        async with connection.standstill:  # where the proof succeeds, it is the end of the connection that is there
            end = await proof.attempt()
            if end is None and config is self._proposed:
                connection.use(config)
        if config is not self._proposed:
            return True
        if end is None:
            self._proposed, self.problem = None, ""
            self._told("changed", "")
            return True
        if end.cause is Cause.REFUSAL:
            self._proposed = None
            self.problem = f"the new login is refused, the old one stays: {end.text}"
            self._told("refused", end.text)
            return True
        problem = f"the new login is not proven yet, the old one goes on: {end.text}"
        if problem != self.problem:
            self.problem = problem
            self._told("not_proven", end.text)
        return False

    async def _rest(self) -> None:
        """Leave the server alone for a while, unless something else is proposed."""
        try:
            async with asyncio.timeout(self._backoff.next_s()):
                await self._is_news.wait()
        except TimeoutError:
            pass
