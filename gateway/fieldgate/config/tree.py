"""The keys of ``fieldgate.yaml``, as the models declare them."""

from __future__ import annotations

from typing import Final

from fieldgate.config.model import Config
from fieldgate.config.secrets import Secret
from fieldgate_devices.files.model_tree import ModelTree

__all__ = ["TREE"]

TREE: Final = ModelTree(
    Config,
    name="configuration",
    private=Secret,
    stand_ins={
        "url": "mqtt://127.0.0.1",
        "proxy.url": "http://127.0.0.1:1",
        "sas.key": "AA==",
        "subscribe": ["stand/in"],
        "filter": "stand/in",
        "name": "stand-in",
        "match": "stand/in",
        "to": "stand/in",
    },
)
