"""The ``modbus:`` section of a profile: which registers a kind of device has, and what stands in them.

A key is declared here once; documentation, the editor's schema and error messages come from it. What concerns more than
one key is checked in `register_checks`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import FieldName, Number

__all__ = ["MAX_BITS", "MAX_WORDS", "TABLES", "ModbusSpec", "ModbusWrite", "RegisterSpec", "RegisterType", "Table"]

MAX_WORDS: Final = 125  # of one request, Modbus Application Protocol V1.1b3, 6.3 and 6.4
MAX_BITS: Final = 2000  # the same, 6.1 and 6.2
TABLES: Final = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}  # by the first digit of the old notation

Table = Literal["holding", "input", "coil", "discrete"]
RegisterType = Literal[
    "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool", "string", "bits"
]
Order = Literal["big", "little"]


def _one_or_more(written: object) -> object:
    return written if isinstance(written, list | tuple) else (written,)


def _or_an_address(schema: dict[str, Any]) -> None:
    schema["type"] = ["object", "integer"]


class RegisterSpec(Section):
    """One value of the device; a plain number is its address."""

    model_config = ConfigDict(json_schema_extra=_or_an_address)

    address: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Address of its first register, or of the coil, as it is sent: counted from 0. A data sheet that "
        "begins at 1 needs one less.",
        examples=[0x0C],
    )
    number: int | None = Field(
        None,
        ge=1,
        le=465536,
        description="In place of address and table: the number of five or six digits that many data sheets have, where "
        "40001 is holding register 0, 30001 input register 0, 10001 discrete input 0 and 1 coil 0.",
        examples=[40001],
    )
    table: Table | None = Field(None, description="Where it stands. Default: table of the section.")
    type: RegisterType | None = Field(
        None,
        description="What it is. Default: type of the section; coils and discrete inputs are bool. A bool is true "
        "unless the register is 0; bits are a list of truth values, bit 0 first.",
    )
    word_order: Order | None = Field(
        None, description="Which register of several comes first: that of the high bits (big), or of the low ones."
    )
    byte_order: Order | None = Field(None, description="Which byte of a register comes first; the standard says big.")
    length: int = Field(
        1, ge=1, le=MAX_WORDS, description="How many registers a string or bits have; other types know by themselves."
    )
    scale: Number | None = Field(None, description="Factor that makes the raw number the value.", examples=[0.1])
    offset: Number | None = Field(None, description="What is added after scale.")
    exponent: str | None = Field(
        None,
        max_length=64,
        description="Name of the register with the power of ten by which this one is multiplied (SunSpec's scale "
        "factors).",
        examples=["power_scale"],
    )
    bit: int | None = Field(None, ge=0, le=63, description="Only this bit of the register, 0 is the lowest: a bool.")
    mask: int | None = Field(
        None, ge=1, le=(1 << 64) - 1, description="Only these bits, moved down to bit 0.", examples=[0x0F00]
    )
    no_value: Annotated[tuple[int | float, ...], Field(strict=False, max_length=16), BeforeValidator(_one_or_more)] = (
        Field(
            (),
            description="Raw numbers that mean that there is no reading; 0x8000 counts for a signed register too. NaN "
            "and texts without a character never are one.",
            examples=[[0x8000, 0xFFFF]],
        )
    )
    every: Annotated[float, Duration("100ms", "7d")] | None = Field(
        None, description="How often it is read. Default: every of the unit, or of the section."
    )
    read: bool = Field(True, description="Whether it is read at all; false for one that is only written.")

    @model_validator(mode="before")
    @classmethod
    def _take_an_address(cls, written: object) -> object:
        is_address = isinstance(written, int) and not isinstance(written, bool)
        return {"address": written} if is_address else written


class ModbusSpec(Section):
    """The registers of a device, and what holds for all that do not say otherwise."""

    table: Table = Field("holding", description="Where registers stand.")
    type: RegisterType = Field("uint16", description="What registers are.")
    word_order: Order = Field(
        "big", description="Which register of several comes first: that of the high bits (big), or of the low ones."
    )
    byte_order: Order = Field("big", description="Which byte of a register comes first; the standard says big.")
    every: Annotated[float, Duration("100ms", "7d")] = Field(
        10.0,
        description="How often registers are read. Those of one interval are one message; fields of a register with "
        "an interval of its own must be optional.",
    )
    max_registers: int = Field(
        MAX_WORDS, ge=1, le=MAX_WORDS, description="Most registers that one request may ask the device for."
    )
    max_bits: int = Field(
        MAX_BITS, ge=1, le=MAX_BITS, description="Most coils or discrete inputs that one request may ask for."
    )
    max_gap: int = Field(
        8,
        ge=0,
        le=MAX_WORDS - 1,
        description="So many registers between two that are wanted may be read along to save a request. A device that "
        "refuses them is asked for less from then on.",
    )
    write: Literal["auto", "multiple"] = Field(
        "auto",
        description="How a single register or coil is written: functions 6 and 5, or 16 and 15, which some devices "
        "have in their place.",
    )
    registers: dict[FieldName, RegisterSpec] = Field(
        min_length=1,
        max_length=1000,
        description="The registers by the names that fields find them under.",
        examples=[{"voltage": {"address": 0, "table": "input", "type": "float32"}}],
    )


class ModbusWrite(Section):
    """What a command writes."""

    register_: Annotated[
        tuple[str, ...], Field(strict=False, min_length=1, max_length=32), BeforeValidator(_one_or_more)
    ] = Field(
        alias="register",
        description="Name of the register, or a list of names; each is given the argument of the same name. What "
        "stands in a row is written by one request.",
        examples=["limit"],
    )
    value: bool | int | float | str | None = Field(
        None, description="What is written always, for a command that takes no argument.", examples=[1]
    )
