"""The contract of everything that a gateway emits, for other people's programs."""

from __future__ import annotations

from fieldgate.contract_export.asyncapi import asyncapi_document
from fieldgate.contract_export.command_channels import CommandKind, all_commands
from fieldgate.contract_export.kinds import Kind, all_kinds, derived_kinds
from fieldgate.contract_export.schemas import envelope_schema, everything_schema, profile_document

__all__ = [
    "CommandKind",
    "Kind",
    "all_commands",
    "all_kinds",
    "asyncapi_document",
    "derived_kinds",
    "envelope_schema",
    "everything_schema",
    "profile_document",
]
