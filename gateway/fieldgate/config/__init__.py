"""The configuration: ``fieldgate.yaml`` as frozen models, every problem with its file:line:column."""

from fieldgate.config.loader import LoadedConfig, load
from fieldgate.config.model import (
    BatchConfig,
    Config,
    FilterConfig,
    GatewayConfig,
    JournalConfig,
    KeepConfig,
    ListenConfig,
    MqttUplinkConfig,
    UplinkConfig,
)
from fieldgate.config.secrets import Secret

__all__ = [
    "BatchConfig",
    "Config",
    "FilterConfig",
    "GatewayConfig",
    "JournalConfig",
    "KeepConfig",
    "ListenConfig",
    "LoadedConfig",
    "MqttUplinkConfig",
    "Secret",
    "UplinkConfig",
    "load",
]
