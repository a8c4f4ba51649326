"""The configuration: ``fieldgate.yaml`` as frozen models, every problem with its file:line:column."""

from fieldgate.config.journal import JournalConfig, KeepConfig
from fieldgate.config.listen import ListenConfig
from fieldgate.config.loader import LoadedConfig, load
from fieldgate.config.model import Config, GatewayConfig
from fieldgate.config.secrets import Secret
from fieldgate.config.uplink import BatchConfig, FilterConfig, MqttUplinkConfig, UplinkConfig

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
