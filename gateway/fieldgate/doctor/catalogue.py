"""Every finding there is: how bad it is, and which section of the README tells more. ``gateway/DOCTOR.md`` lists them.

Ids are stable: programs compare them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fieldgate.doctor.finding import Level

__all__ = ["CATALOGUE", "Entry", "link_of"]

_OK, _NOTE, _WARNING, _ERROR = Level.OK, Level.NOTE, Level.WARNING, Level.ERROR
_PAGE: Final = "gateway/DOCTOR.md"


class Entry(NamedTuple):
    """``readme`` is the heading of a section of README.md."""

    level: Level
    readme: str


_CONFIGURATION: Final = "Configuration"
_LOST: Final = "What is lost, and when"
_FORWARD: Final = "Forward to …"
_SERIAL: Final = "Connect a serial device"
_ARRIVES: Final = "What arrives upstream"
_COMMANDS: Final = "Commands"
_ACK: Final = "When a device gets its acknowledgement"

CATALOGUE: Final[dict[str, Entry]] = {
    "clock.synced": Entry(_OK, _ARRIVES),
    "clock.unknown": Entry(_NOTE, _ARRIVES),
    "clock.not_synced": Entry(_WARNING, _ARRIVES),
    "clock.no_ntp": Entry(_WARNING, _ARRIVES),
    "clock.before_build": Entry(_ERROR, _ARRIVES),
    "clock.far_future": Entry(_ERROR, _ARRIVES),
    "clock.no_rtc": Entry(_NOTE, _ARRIVES),
    "clock.rtc_right": Entry(_OK, _ARRIVES),
    "clock.rtc_off": Entry(_WARNING, _ARRIVES),
    "clock.rtc_unreadable": Entry(_WARNING, _ARRIVES),
    "storage.writable": Entry(_OK, _LOST),
    "storage.not_seen": Entry(_NOTE, _LOST),
    "storage.denied": Entry(_ERROR, _LOST),
    "storage.read_only": Entry(_ERROR, _LOST),
    "storage.full": Entry(_ERROR, _LOST),
    "storage.unwritable": Entry(_ERROR, _LOST),
    "storage.open_to_everyone": Entry(_WARNING, _CONFIGURATION),
    "storage.space": Entry(_OK, _LOST),
    "storage.space_short": Entry(_WARNING, _LOST),
    "storage.no_files_left": Entry(_ERROR, _LOST),
    "storage.kind": Entry(_OK, _LOST),
    "storage.in_memory": Entry(_WARNING, _LOST),
    "storage.in_layer": Entry(_WARNING, _LOST),
    "storage.on_network": Entry(_WARNING, _LOST),
    "storage.no_journal": Entry(_WARNING, _LOST),
    "storage.no_barriers": Entry(_WARNING, _LOST),
    "storage.sync_fast": Entry(_OK, _ACK),
    "storage.sync_slow": Entry(_WARNING, _ACK),
    "storage.sync_very_slow": Entry(_ERROR, _ACK),
    "storage.wear": Entry(_OK, _LOST),
    "storage.wear_unknown": Entry(_NOTE, _LOST),
    "storage.worn": Entry(_WARNING, _LOST),
    "storage.worn_out": Entry(_ERROR, _LOST),
    "storage.filesystem_errors": Entry(_ERROR, _LOST),
    "storage.set_aside": Entry(_WARNING, _LOST),
    "config.usable": Entry(_OK, _CONFIGURATION),
    "config.none": Entry(_WARNING, _CONFIGURATION),
    "config.error": Entry(_ERROR, _CONFIGURATION),
    "config.warning": Entry(_WARNING, _CONFIGURATION),
    "config.note": Entry(_NOTE, _CONFIGURATION),
    "config.more": Entry(_WARNING, _CONFIGURATION),
    "config.secrets_private": Entry(_OK, _CONFIGURATION),
    "config.secret_open": Entry(_ERROR, _CONFIGURATION),
    "config.literal_secret": Entry(_ERROR, _CONFIGURATION),
    "config.writable_by_all": Entry(_ERROR, _CONFIGURATION),
    "serial.usable": Entry(_OK, _SERIAL),
    "serial.not_local": Entry(_NOTE, _SERIAL),
    "serial.missing": Entry(_ERROR, _SERIAL),
    "serial.not_a_port": Entry(_ERROR, _SERIAL),
    "serial.denied": Entry(_ERROR, _SERIAL),
    "serial.console": Entry(_WARNING, _SERIAL),
    "serial.in_use": Entry(_ERROR, _SERIAL),
    "gateway.running": Entry(_OK, _COMMANDS),
    "gateway.stopped": Entry(_NOTE, _COMMANDS),
    "gateway.not_asked": Entry(_NOTE, _COMMANDS),
    "gateway.hangs": Entry(_ERROR, _COMMANDS),
    "gateway.other_version": Entry(_WARNING, _COMMANDS),
    "gateway.reload_refused": Entry(_WARNING, _CONFIGURATION),
    "gateway.needs_restart": Entry(_WARNING, _CONFIGURATION),
    "gateway.part_failing": Entry(_ERROR, _COMMANDS),
    "gateway.not_listening": Entry(_ERROR, _COMMANDS),
    "gateway.uplink_down": Entry(_WARNING, _FORWARD),
    "gateway.parked": Entry(_WARNING, _FORWARD),
    "gateway.journal_full": Entry(_ERROR, _LOST),
    "gateway.ended_badly": Entry(_WARNING, _LOST),
    "gateway.restarted": Entry(_WARNING, _COMMANDS),
    "gateway.crashed": Entry(_WARNING, _COMMANDS),
    "machine.memory": Entry(_OK, _CONFIGURATION),
    "machine.memory_limit_low": Entry(_WARNING, _CONFIGURATION),
    "machine.memory_nearly_used": Entry(_WARNING, _CONFIGURATION),
    "machine.memory_short": Entry(_WARNING, _CONFIGURATION),
    "machine.out_of_memory": Entry(_WARNING, _CONFIGURATION),
    "machine.open_files": Entry(_OK, _CONFIGURATION),
    "machine.open_files_low": Entry(_WARNING, _CONFIGURATION),
    "machine.little_cpu": Entry(_WARNING, _CONFIGURATION),
    "software.python": Entry(_OK, _COMMANDS),
    "software.python_old": Entry(_ERROR, _COMMANDS),
    "software.python_ended": Entry(_WARNING, _COMMANDS),
    "software.openssl": Entry(_OK, _COMMANDS),
    "software.openssl_old": Entry(_WARNING, _COMMANDS),
    "software.sqlite": Entry(_OK, _LOST),
    "software.sqlite_old": Entry(_WARNING, _LOST),
    "software.sqlite_bug": Entry(_WARNING, _LOST),
    "software.sqlite_bug_unmet": Entry(_NOTE, _LOST),
    "software.no_uvloop": Entry(_NOTE, _COMMANDS),
    "uplink.none": Entry(_NOTE, _FORWARD),
    "uplink.offline": Entry(_NOTE, _FORWARD),
    "uplink.name_found": Entry(_OK, _FORWARD),
    "uplink.name_not_found": Entry(_ERROR, _FORWARD),
    "uplink.name_server_silent": Entry(_ERROR, _FORWARD),
    "uplink.route": Entry(_OK, _FORWARD),
    "uplink.no_route": Entry(_ERROR, _FORWARD),
    "uplink.nothing_listens": Entry(_ERROR, _FORWARD),
    "uplink.unreachable": Entry(_ERROR, _FORWARD),
    "uplink.proxy_failed": Entry(_ERROR, _FORWARD),
    "uplink.tls": Entry(_OK, _FORWARD),
    "uplink.tls_failed": Entry(_ERROR, _FORWARD),
    "uplink.no_tls": Entry(_ERROR, _FORWARD),
    "uplink.tls_too_old": Entry(_ERROR, _FORWARD),
    "uplink.certificate_expired": Entry(_ERROR, _FORWARD),
    "uplink.certificate_not_yet_valid": Entry(_ERROR, _FORWARD),
    "uplink.certificate_wrong_host": Entry(_ERROR, _FORWARD),
    "uplink.certificate_unknown_authority": Entry(_ERROR, _FORWARD),
    "uplink.certificate_unverified": Entry(_ERROR, _FORWARD),
    "uplink.certificate_ends_soon": Entry(_WARNING, _FORWARD),
    "uplink.own_certificate_refused": Entry(_ERROR, _FORWARD),
    "uplink.own_certificate_expired": Entry(_ERROR, _FORWARD),
    "uplink.own_certificate_ends_soon": Entry(_WARNING, _FORWARD),
    "uplink.websocket_failed": Entry(_ERROR, _FORWARD),
    "uplink.no_answer": Entry(_ERROR, _FORWARD),
    "uplink.unusable": Entry(_ERROR, _FORWARD),
    "uplink.connects": Entry(_OK, _FORWARD),
    "uplink.log_in_not_tried": Entry(_NOTE, _FORWARD),
    "uplink.not_gone": Entry(_NOTE, _FORWARD),
    "uplink.accepts": Entry(_OK, _FORWARD),
    "uplink.refused": Entry(_ERROR, _FORWARD),
    "uplink.probe_refused": Entry(_NOTE, _FORWARD),
    "uplink.qos_0_only": Entry(_ERROR, _FORWARD),
    "uplink.no_retain": Entry(_ERROR, _FORWARD),
    "uplink.receive_maximum_low": Entry(_WARNING, _FORWARD),
    "uplink.packet_size": Entry(_NOTE, _FORWARD),
    "uplink.packet_size_low": Entry(_WARNING, _FORWARD),
}


def link_of(finding_id: str) -> str:
    """Where the finding is explained."""
    return f"{_PAGE}#{finding_id.replace('.', '')}"
