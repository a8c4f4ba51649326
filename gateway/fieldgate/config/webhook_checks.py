"""What is wrong with uplinks of kind webhook, or may surprise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fieldgate.config.broker_checks import proxy_errors, tls_errors
from fieldgate.config.finding import Finding
from fieldgate.config.model import Config
from fieldgate.config.secrets import Secret
from fieldgate.config.texts import is_loopback
from fieldgate.config.uplink import UPLINK_KINDS, UplinkConfig
from fieldgate.config.webhook import WebhookConfig
from fieldgate_devices.files.document import Loc

__all__ = ["kind_errors", "webhook_errors", "webhook_warnings"]

_TLS_KEYS: Final = ("ca", "certificate", "key", "server_name")
_OF_MQTT: Final = ("topic", "retain", "format", "home_assistant", "batch", "honour_expiry", "drain")


def kind_errors(name: str, uplink: UplinkConfig) -> Iterator[Finding]:
    """An uplink is of one kind, and has no keys of another."""
    loc: Loc = ("uplinks", name)
    written = [kind for kind in UPLINK_KINDS if getattr(uplink, kind) is not None]
    if not written:
        example = "mqtt: {url: 'mqtts://broker.example:8883'}"
        yield Finding(loc, f"uplinks.{name} has neither {' nor '.join(map(repr, UPLINK_KINDS))}; an example: {example}")
    elif len(written) > 1:
        yield Finding(loc, f"uplinks.{name} has {' and '.join(map(repr, written))}; allowed: one of them")
    elif uplink.webhook is not None:
        for key in _OF_MQTT:
            if key in uplink.model_fields_set:
                hint = "; write it into webhook: {…}" if key == "format" else ""
                yield Finding((*loc, key), f"{key}: only for uplinks with mqtt{hint}", ((*loc, key), (*loc, "webhook")))


def webhook_errors(config: Config, loc: Loc, webhook: WebhookConfig) -> Iterator[Finding]:
    """Everything that cannot work."""
    yield from tls_errors(loc, webhook, plain="an http", encrypted="https", keys=_TLS_KEYS)
    yield from proxy_errors(loc, webhook)
    own = {listen.port: ("listen", number, listen.protocol) for number, listen in enumerate(config.listen)}
    if is_loopback(webhook.host) and webhook.port in own:
        message = f"url: {str(webhook.url)!r} is this gateway's own listener; a webhook needs another server"
        yield Finding((*loc, "url"), message, ((*loc, "url"), own[webhook.port]))


def webhook_warnings(config: Config, loc: Loc, webhook: WebhookConfig) -> Iterator[Finding]:
    """Everything that works and may surprise."""
    if not webhook.is_tls and not is_loopback(webhook.host):
        secret = " and the log-in" if webhook.authorization is not None else ""
        message = f"url: {str(webhook.url)!r} sends alerts{secret} unencrypted over the network; https:// encrypts"
        yield Finding((*loc, "url"), message)
    for below, what, value in _secrets(webhook):
        if value.is_literal:
            message = f"{below[-1]}: {what} stands in the file itself; write ${{credential:NAME}} or ${{file:/PATH}}"
            yield Finding((*loc, *below), message)
        elif not value.reveal().strip():
            yield Finding((*loc, *below), f"{below[-1]}: {what} is empty")
    if all(uplink.webhook is not None for uplink in config.uplinks.values()):
        message = (
            "webhook: gets the events only that a rule tells it of (notify), and there is no other uplink: all others "
            "go nowhere and are not kept"
        )
        yield Finding(loc, message, (loc, ("uplinks",)))


def _secrets(webhook: WebhookConfig) -> Iterator[tuple[Loc, str, Secret]]:
    if webhook.authorization is not None:
        yield ("authorization",), "the log-in", webhook.authorization
    if webhook.proxy is not None and webhook.proxy.password is not None:
        yield ("proxy", "password"), "the password", webhook.proxy.password
    for name, value in webhook.headers.items():
        if any(word in name.lower() for word in ("cookie", "token", "key", "secret", "auth")):
            yield ("headers", name), "the log-in", value
