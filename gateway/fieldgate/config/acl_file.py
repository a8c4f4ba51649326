"""The ACL file: which user may publish and subscribe to what, as `AccessRules`, every problem with its position.

    all_users:                                          # everybody who logged in
      - {allow: all, topic: "devices/%u/#"}
    users:
      node-red:
        - {allow: subscribe, topic: "#"}
        - {deny: subscribe, topic: "site/+/secret"}
    anonymous:                                          # who did not log in
      - {allow: subscribe, topic: public/#}

Reading is all or nothing: what a file with a mistake allows is not known, so it allows nothing (CVE-2018-12550).
"""

from __future__ import annotations

import difflib
from typing import Final

from fieldgate.config.users_file import check_user_name
from fieldgate.mqtt.access_rules import PATTERN, AccessRules, Rule
from fieldgate.mqtt.topics import valid_filter
from fieldgate_devices.files.document import Document, Loc, Problem, read_yaml

__all__ = ["read_acl"]

_SECTIONS: Final = ("anonymous", "all_users", "users")
_ACTIONS: Final = {"publish": (True, False), "subscribe": (False, True), "all": (True, True)}


def read_acl(content: bytes, path: str) -> tuple[AccessRules, list[Problem]]:
    """Read the whole file; the rules mean nothing unless there are no problems."""
    document = read_yaml(content, path)
    reader = _Reader(document)
    rules = reader.read() if document.root is not None else AccessRules()
    return rules, sorted(document.problems)


class _Reader:
    """Turns the values of a document into rules; what is wrong joins the document's problems."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def read(self) -> AccessRules:
        root = self._document.root
        content = root.value() if root is not None else None
        if content is None:
            return AccessRules()  # nothing is allowed
        if not isinstance(content, dict):
            self._note((), f"this is no ACL; allowed: {', '.join(_SECTIONS)}")
            return AccessRules()
        for name in content:
            if name not in _SECTIONS:
                self._note_key((name,), f"unknown key {name!r}{_guess(name, _SECTIONS)}")
        users = content.get("users")
        if users is not None and not isinstance(users, dict):
            self._note(("users",), "users: this is not a mapping; write lines of 'name:' with a list of rules below")
            users = None
        return AccessRules(
            anonymous=self._rules(("anonymous",), content.get("anonymous"), has_user=False),
            all_users=self._rules(("all_users",), content.get("all_users")),
            users={name: self._user(name, below) for name, below in (users or {}).items()},
        )

    def _user(self, name: str, written: object) -> tuple[Rule, ...]:
        try:
            check_user_name(name)
        except ValueError as error:
            self._note_key(("users", name), str(error))
        return self._rules(("users", name), written)

    def _rules(self, loc: Loc, written: object, *, has_user: bool = True) -> tuple[Rule, ...]:
        if written is None:
            return ()
        if not isinstance(written, list):
            self._note(loc, f"{loc[-1]}: this is not a list; write lines of '- {{allow: publish, topic: a/b}}'")
            return ()
        rules = (self._rule((*loc, number), one, has_user=has_user) for number, one in enumerate(written))
        return tuple(rule for rule in rules if rule is not None)

    def _rule(self, loc: Loc, written: object, *, has_user: bool) -> Rule | None:
        if not isinstance(written, dict):
            self._note(loc, "this is no rule; write {allow: publish, topic: a/b}")
            return None
        for key in written:
            if key not in ("allow", "deny", "topic"):
                self._note_key((*loc, key), f"unknown key {key!r}{_guess(key, ('allow', 'deny', 'topic'))}")
                return None
        verbs = [key for key in ("allow", "deny") if key in written]
        if len(verbs) != 1 or "topic" not in written:
            self._note(loc, "a rule has 'allow' or 'deny', and 'topic'; write {allow: publish, topic: a/b}")
            return None
        (verb,) = verbs
        action = written[verb]
        if not isinstance(action, str) or action not in _ACTIONS:
            self._note((*loc, verb), f"{verb}: {action!r} is not known{_guess(str(action), tuple(_ACTIONS))}")
            return None
        topic = self._topic((*loc, "topic"), written["topic"], has_user=has_user)
        if topic is None:
            return None
        may_publish, may_subscribe = _ACTIONS[action]
        return Rule(topic, may_publish, may_subscribe, verb == "allow", self._document.where(loc))

    def _topic(self, loc: Loc, written: object, *, has_user: bool) -> str | None:
        problem = ""
        if not isinstance(written, str):
            problem = f"topic: {written!r} is not a text; put it in quotes"
        elif written.startswith("$share/"):
            problem = f"topic: {written!r} names a shared subscription; write the filter alone, it holds for both"
        elif not valid_filter(written):
            problem = (
                f"topic: {written!r} is not a topic filter; '+' stands alone between slashes, '#' stands alone at "
                "the end, such as site/+/boiler or site/#"
            )
        elif bad := next((one for one in PATTERN.findall(written) if one not in ("%u", "%c", "%%")), None):
            problem = f"topic: {written!r} has {bad!r}; allowed: %u (user), %c (client id), %% (a plain %)"
        elif not has_user and "%u" in written.replace("%%", ""):
            problem = f"topic: {written!r} has '%u', but who is anonymous has no user name"
        if problem:
            self._note(loc, problem)
            return None
        return str(written)

    def _note(self, loc: Loc, message: str) -> None:
        self._document.problems.append(Problem(self._document.where(loc), message))

    def _note_key(self, loc: Loc, message: str) -> None:
        self._document.problems.append(Problem(self._document.where_key(loc), message))


def _guess(word: str, known: tuple[str, ...]) -> str:
    matches = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else f"; allowed: {', '.join(known)}"
