"""``fieldgate acl``: who may do what at a listener that has an ACL, and by which rule."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from fieldgate.cli.options import AsJson, ConfigFile, access_file, written_config
from fieldgate.config.acl_file import read_acl
from fieldgate.config.users_file import read_users
from fieldgate.errors import ConfigError, FieldgateError
from fieldgate.mqtt.access_rules import AccessRules, Decision, publishing, subscribing
from fieldgate.mqtt.topics import valid_filter, valid_topic

__all__ = ["register"]

_DENIED: Final = 1


class AclError(FieldgateError):
    """The question cannot be answered."""


@dataclass(frozen=True, slots=True)
class _Answer:
    action: str
    decision: Decision
    file: Path

    @property
    def where(self) -> str:
        return str(self.decision.rule.where) if self.decision.rule is not None else ""

    def __str__(self) -> str:
        verdict = "allow" if self.decision.is_allowed else "deny"
        rule = self.decision.rule
        by = f"{self.where}   topic: {rule.topic}" if rule is not None else f"no rule of {self.file} allows it"
        return f"{self.action:<9}   {verdict:<5}   {by}"


def register(app: typer.Typer) -> None:
    """Add the group."""
    acl = typer.Typer(help="Who may publish and subscribe to what.", no_args_is_help=True)
    app.add_typer(acl, name="acl")

    @acl.callback()
    def group() -> None:
        """Keep ``check`` a command of its own."""

    @acl.command("check", short_help="Say whether a user may use a topic, and by which rule.")
    def check(
        user: Annotated[
            str,
            typer.Argument(metavar="USER", help="The user; '' is a client that did not log in.", show_default=False),
        ],
        topic: Annotated[
            str,
            typer.Argument(metavar="TOPIC", help="A topic, or with --subscribe a topic filter.", show_default=False),
        ],
        client_id: Annotated[
            str,
            typer.Option(
                "--client-id", metavar="ID", help="The client id, for rules with %c; else they match nothing."
            ),
        ] = "",
        publish: Annotated[bool, typer.Option("--publish", help="Ask about publishing only.")] = False,
        subscribe: Annotated[bool, typer.Option("--subscribe", help="Ask about subscribing only.")] = False,
        config: ConfigFile = None,
        file: Annotated[
            Path | None,
            typer.Option("--file", metavar="FILE", help="The ACL. Default: that of the configuration's listeners."),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Say whether a user may publish and subscribe to a topic, and which rule says so.

        Ends with 0 when everything that was asked is allowed, with 1 when it is not.
        """
        path = file if file is not None else access_file(config, "acl")
        rules = _usable(path).about(user, client_id)
        asks_both = publish == subscribe
        is_topic = valid_topic(topic)
        if not valid_filter(topic):
            raise AclError(f"{topic!r} is neither a topic nor a topic filter")
        if publish and not is_topic:
            raise AclError(f"{topic!r} is a filter, and nothing is published to one; ask with --subscribe")
        answers: list[_Answer] = []
        if publish or (asks_both and is_topic):
            answers.append(_Answer("publish", publishing(rules, topic), path))
        if subscribe or asks_both:
            answers.append(_Answer("subscribe", subscribing(rules, topic), path))
        if file is None and user:
            _warn_of_a_stranger(config, user)
        typer.echo(_as_json(path, user, topic, answers) if as_json else "\n".join(map(str, answers)))
        raise typer.Exit(0 if all(one.decision.is_allowed for one in answers) else _DENIED)


def _warn_of_a_stranger(config: Path | None, user: str) -> None:
    """Rules may say what they like of somebody who cannot come in."""
    listeners = [listen for listen in written_config(config).config.listen if listen.auth is not None]
    if any(listen.names_by_certificate for listen in listeners):
        return  # anybody may have a certificate
    files = list(
        dict.fromkeys(one.auth.users for one in listeners if one.auth is not None and one.auth.users is not None)
    )
    try:
        known = {name for path in files for name in read_users(path.read_bytes(), str(path))[0]}
    except OSError:
        return  # who may ask about rules need not be able to read the hashes
    if files and user not in known:
        typer.echo(f"warning: there is no user {user!r} in {', '.join(map(str, files))}", err=True)


def _as_json(path: Path, user: str, topic: str, answers: list[_Answer]) -> str:
    facts = [{"action": one.action, "allowed": one.decision.is_allowed, "rule": one.where or None} for one in answers]
    return json.dumps({"file": str(path), "user": user, "topic": topic, "answers": facts}, ensure_ascii=False)


def _usable(path: Path) -> AccessRules:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AclError(f"{path}: cannot be read: {os.strerror(error.errno or 0).lower()}") from error
    rules, problems = read_acl(content, str(path))
    if problems:
        raise ConfigError([str(problem) for problem in problems])
    return rules
