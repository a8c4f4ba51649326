"""``proxy``: the HTTP proxy that is the only way out of many plants."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from fieldgate.config.secrets import Resolved, Secret, once_resolved
from fieldgate.config.urls import ProxyUrl, check_proxy_url, split_proxy_url
from fieldgate_devices.files.section import Section

__all__ = ["OptionalProxy", "ProxyConfig"]


class ProxyConfig(Section):
    """An HTTP proxy that connects us to a broker by CONNECT."""

    url: Annotated[Resolved, AfterValidator(once_resolved(check_proxy_url))] = Field(
        description="http://HOST:PORT of the proxy.", examples=["http://proxy.example:3128"]
    )
    username: Resolved | None = Field(
        None, description="User name at the proxy (Basic authentication).", examples=["plant-7"]
    )
    password: Secret | None = Field(
        None, description="Where the password for the proxy is.", examples=["${credential:proxy-password}"]
    )

    @property
    def place(self) -> ProxyUrl:
        """Host and port."""
        return split_proxy_url(self.url.reveal())


def _url_alone(written: object) -> object:
    """``proxy: http://HOST:PORT`` is short for ``proxy: {url: http://HOST:PORT}``."""
    return {"url": written} if isinstance(written, str) else written


def _text_too(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "string"})


OptionalProxy = Annotated[ProxyConfig | None, BeforeValidator(_url_alone), Field(json_schema_extra=_text_too)]
