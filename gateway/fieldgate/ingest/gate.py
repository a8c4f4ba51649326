"""Who may come in at one listener: asks for the password, names the user, hands out rights, and slows down guessing.

Laws of this file:

- Nobody comes in while the users or ACL file cannot be used, or more than the limits are in.
- An unknown user costs as much as a wrong password, and is told the same. Both are checked in a thread.
- A token is compared with every token there is, each in constant time. Guessing at tokens is slowed down like guessing
  at passwords; neither is ever logged.
- A password that was right is remembered for as long as its line in the file stays, as a keyed hash that only this
  process can make: a thousand devices that come back together do not wait for a thousand slow hashes.
- What was tried too often is refused when its turn comes, too: guessing in parallel is no way around the throttle.
- Changed files count at once: rights are exchanged, and who was removed or got another password is put out. While a
  file cannot be used, those who are in stay as they were.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol
from weakref import WeakSet

import structlog

from fieldgate.clock import boot_s
from fieldgate.config.listen import ListenConfig
from fieldgate.config.password_hash import PasswordHash
from fieldgate.ingest.access_files import Access, AccessFiles
from fieldgate.ingest.access_thread import AccessThread
from fieldgate.ingest.login_throttle import LoginThrottle
from fieldgate.mqtt.access_rules import AccessRules, ClientRights
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.session_roles import Accepted, Refused, Verdict

__all__ = ["Claim", "Door", "Gate"]

_LOOK_EVERY_S: Final = 1.0
_MAX_PAUSED: Final = 16  # log-ins of one address that may be made to wait at the same time

_BUSY: Final = Refused(Reason.SERVER_BUSY, "login_queue_full", "too many log-ins wait to be checked")

log = structlog.get_logger("fieldgate")

Answer = Callable[[Verdict, float], None]


class Claim(Protocol):
    """Who somebody says it is; a CONNECT is one."""

    @property
    def client_id(self) -> str:
        """Its name for itself; empty where the protocol knows none."""

    @property
    def username(self) -> str | None:
        """Its user; None: it does not say."""

    @property
    def password(self) -> bytes | None:
        """What is to prove that."""


class Gate:
    """All that the connections of a listener share. ``denied`` counts subscriptions that nobody had a right to."""

    def __init__(self, settings: ListenConfig, *, name: str, is_full: Callable[[str, str], str]) -> None:
        """``is_full`` answers for an address and a client id which limit that client would exceed, or an empty text."""
        self.access = Access()
        self.denied: Counter[str] = Counter()
        self.denied_to: Counter[tuple[str, str]] = Counter()  # what to which user, until somebody has noted it
        self.is_full = is_full
        self.throttle = LoginThrottle()
        self._name = name
        self._thread: AccessThread | None = None
        self._is_reading = False
        self._look_at_s = 0.0
        self._rights: WeakSet[ClientRights] = WeakSet()
        self._proven: dict[str, tuple[PasswordHash, bytes]] = {}
        self._key = os.urandom(32)
        self._stranger = PasswordHash.of_nothing()  # what an unknown user's password is compared with
        self._paused: Counter[str] = Counter()  # log-ins that wait a moment, by address
        self._set(settings)

    def _set(self, settings: ListenConfig) -> None:
        self.admits_anonymous = settings.admits_anonymous
        self.asks_passwords = settings.auth is not None and settings.auth.users is not None
        self._files = AccessFiles(settings.auth)
        self._max_pause_s = settings.connect_timeout / 4
        tokens = settings.auth.tokens if settings.auth is not None else {}
        self._tokens = {user: self._mark("", token.reveal().encode()) for user, token in tokens.items()}

    def open(self, thread: AccessThread) -> None:
        """Read the files, before the first client can come; passwords are checked in ``thread``."""
        self._take(self._files.load())
        self._thread = thread
        self._is_reading = False

    def use(self, settings: ListenConfig, access: Access, exchanged: Callable[[], None]) -> None:
        """From now on by these settings and what was read of their files, which is valid; see `tick`."""
        tokens = self._tokens
        self._set(settings)
        if access != self.access:
            self._take(access)
        elif tokens == self._tokens:
            return
        exchanged()

    def tick(self, now_s: float, exchanged: Callable[[], None]) -> None:
        """Look now and then whether the files have changed; ``exchanged`` is called when others are in force."""
        if now_s < self._look_at_s or self._is_reading or self._thread is None:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        if self._files.signatures() != self.access.signatures:
            self._is_reading = True
            self._thread.submit(self._files.load, partial(self._reloaded, exchanged))

    def _reloaded(self, exchanged: Callable[[], None], access: Access) -> None:
        self._is_reading = False
        self._take(access)
        exchanged()

    def _take(self, access: Access) -> None:
        was_broken = bool(self.access.problems)
        if access.problems:
            old = self.access
            if access.problems != old.problems:
                log.error("access.broken", listener=self._name, problem="; ".join(access.problems))
            self.access = Access(old.users, old.rules, access.problems, access.signatures)
            return
        is_first = not self.access.signatures
        self.access = access
        if access.users:
            self._stranger = next(iter(access.users.values())).password.unknown()
        self._proven = {name: one for name, one in self._proven.items() if self._is_current(name, one[0])}
        for rights in self._rights:
            rights.exchange(access.rules or AccessRules())
        if not is_first:
            event = "access.mended" if was_broken else "access.changed"
            log.info(event, listener=self._name, users=len(access.users))

    def _is_current(self, user: str, password: PasswordHash) -> bool:
        known = self.access.users.get(user)
        return known is not None and known.password == password

    # for doors

    def is_still_welcome(self, door: Door) -> bool:
        """Whether the password, or the token, with which the client came in is still the one that it needs."""
        if door.token is not None:
            return self._tokens.get(door.user) == door.token
        return door.password is None or self._is_current(door.user, door.password)

    def accept(self, user: str, client_id: str) -> Accepted:
        """Let ``user`` in, with the rights that the ACL gives it."""
        rules = self.access.rules
        if rules is None:
            return Accepted(user)
        rights = ClientRights(rules, user=user, client_id=client_id, denied=self.denied, denied_to=self.denied_to)
        self._rights.add(rights)
        return Accepted(user, rights)

    def remembered(self, user: str, password: bytes) -> PasswordHash | None:
        """Return the hash that ``password`` is known to match, if it is."""
        known = self.access.users.get(user)
        proven = self._proven.get(user)
        if known is None or proven is None or proven[0] != known.password:
            return None
        return known.password if hmac.compare_digest(proven[1], self._mark(user, password)) else None

    def check(
        self,
        address: str,
        user: str,
        password: bytes,
        done: Callable[[PasswordHash | None], None],
        *,
        is_wanted: Callable[[], bool],
    ) -> bool:
        """Check a password when its turn comes, if ``is_wanted`` then; answers False if too many wait.

        ``done`` gets the hash that it matched, or None.
        """
        if self._thread is None or self._thread.is_full(address):
            return False
        known = self.access.users.get(user)
        expected = known.password if known is not None else self._stranger

        def checked(is_right: bool) -> None:
            is_right = is_right and known is not None and self._is_current(user, expected)
            if is_right:
                self._proven[user] = expected, self._mark(user, password)
            done(expected if is_right else None)

        self._thread.submit(partial(expected.verify, password), checked, address=address, is_wanted=is_wanted)
        return True

    @property
    def knows_tokens(self) -> bool:
        """Whether a token may stand for a name and a password."""
        return bool(self._tokens)

    def mark_of(self, token: bytes) -> bytes:
        """What stands for a token in this process."""
        return self._mark("", token)

    def user_of_token(self, token: bytes) -> str | None:
        """Whose token this is; which one it resembles does not show in the time it takes."""
        mark = self.mark_of(token)
        found = [user for user, expected in self._tokens.items() if hmac.compare_digest(expected, mark)]
        return found[0] if found else None

    def _mark(self, user: str, password: bytes) -> bytes:
        return hashlib.blake2b(user.encode() + b"\0" + password, key=self._key).digest()

    def pause_s(self, address: str, user: str, now_s: float) -> float:
        """How long the log-in of a user that many guess at is to wait."""
        return min(self._max_pause_s, self.throttle.pause_s(address, user, now_s))

    def pause(self, address: str, pause_s: float, then: Callable[[], None]) -> bool:
        """Call ``then`` later; answers False if too many of that address wait already."""
        if self._paused[address] >= _MAX_PAUSED:
            return False
        self._paused[address] += 1

        def go_on() -> None:
            self._paused[address] -= 1
            if not self._paused[address]:
                del self._paused[address]
            then()

        asyncio.get_running_loop().call_later(pause_s, go_on)
        return True


class Door:
    """The `Authority` of one connection. ``certificate_user`` is the user that TLS has named, if it has."""

    __slots__ = ("_gate", "address", "asked", "certificate_user", "is_gone", "password", "token", "user")

    def __init__(self, gate: Gate, address: str) -> None:
        self.address = address
        self.certificate_user: str | None = None
        self.asked = ""  # who the client says it is
        self.user = ""
        self.is_gone = False  # the connection is over: no password needs to be looked at
        self.password: PasswordHash | None = None  # what the user's was when it came in
        self.token: bytes | None = None  # the mark of the token with which it came in
        self._gate = gate

    def judge(self, claim: Claim, answer: Answer) -> Verdict | None:
        """See `Authority`."""
        gate = self._gate
        self.asked = (self.certificate_user if self.certificate_user is not None else claim.username) or ""
        if (obstacle := self._obstacle(claim)) is not None:
            return obstacle
        if self.certificate_user is not None:
            return self._enter(self.certificate_user, claim)
        if claim.username is None or not gate.asks_passwords:
            if gate.admits_anonymous:
                return self._enter("", claim)
            return Refused(Reason.NOT_AUTHORIZED, "not_logged_in", "the client did not say who it is")
        return self._log_in(claim.username, claim, answer)

    def judge_token(self, claim: Claim, token: bytes) -> Verdict:
        """Judge somebody who shows a token instead of a name and a password."""
        gate = self._gate
        user = gate.user_of_token(token)
        self.asked = user or ""
        if (obstacle := self._obstacle(claim)) is not None:
            return obstacle
        if (refused := self._throttled(self.asked)) is not None:
            return refused
        if user is None:
            gate.throttle.failed(self.address, "", boot_s())
            return Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "bad_token", "nobody has this token")
        gate.throttle.succeeded(self.address, user)
        self.password, self.token = None, gate.mark_of(token)
        return self._enter(user, claim)

    def _obstacle(self, claim: Claim) -> Refused | None:
        """What keeps out whoever it is."""
        if limit := self._gate.is_full(self.address, claim.client_id):
            return Refused(Reason.QUOTA_EXCEEDED, limit, f"as many clients are connected as {limit} allows")
        if self._gate.access.problems:
            return Refused(Reason.SERVER_UNAVAILABLE, "access_broken", "the users or ACL file cannot be used")
        return None

    def _enter(self, user: str, claim: Claim) -> Verdict:
        self.user = user
        return self._gate.accept(user, claim.client_id)

    def _log_in(self, user: str, claim: Claim, answer: Answer) -> Verdict | None:
        if (refused := self._throttled(user)) is not None:
            return refused
        pause_s = self._gate.pause_s(self.address, user, boot_s())
        if not pause_s:
            return self._check(user, claim, answer)
        is_waiting = self._gate.pause(self.address, pause_s, partial(self._check_later, user, claim, answer))
        return None if is_waiting else _BUSY

    def _throttled(self, user: str) -> Refused | None:
        wait_s = self._gate.throttle.refused_for_s(self.address, user, boot_s())
        if not wait_s:
            return None
        problem = f"too many failed log-ins; the next is possible in {wait_s:.0f} s"
        return Refused(Reason.CONNECTION_RATE_EXCEEDED, "throttled", problem, wait_s)

    def _check_later(self, user: str, claim: Claim, answer: Answer) -> None:
        verdict = None if self.is_gone else self._check(user, claim, answer)
        if verdict is not None:
            answer(verdict, boot_s())

    def _check(self, user: str, claim: Claim, answer: Answer) -> Verdict | None:
        password = claim.password or b""
        if (matched := self._gate.remembered(user, password)) is not None:
            return self._conclude(user, claim, matched)

        def done(matched: PasswordHash | None) -> None:
            answer(self._conclude(user, claim, matched), boot_s())

        def is_wanted() -> bool:
            """Those before it may have settled it: by failing too often, or with the same password."""
            if self.is_gone:
                return False
            loop = asyncio.get_running_loop()
            if (refused := self._throttled(user)) is not None:
                loop.call_soon(answer, refused, boot_s())
                return False
            if (matched := self._gate.remembered(user, password)) is not None:
                loop.call_soon(done, matched)
                return False
            return True

        is_waiting = self._gate.check(self.address, user, password, done, is_wanted=is_wanted)
        return None if is_waiting else _BUSY

    def _conclude(self, user: str, claim: Claim, matched: PasswordHash | None) -> Verdict:
        if matched is None:
            self._gate.throttle.failed(self.address, user, boot_s())
            return Refused(Reason.BAD_USER_NAME_OR_PASSWORD, "bad_login", "wrong user name or password")
        self._gate.throttle.succeeded(self.address, user)
        if (obstacle := self._obstacle(claim)) is not None:  # time has passed
            return obstacle
        self.password, self.token = matched, None
        return self._enter(user, claim)
