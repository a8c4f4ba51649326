"""Registers of Modbus devices: what a profile says of them, requests for them, and values in both directions."""

from fieldgate_devices.modbus.register import Register, RegisterValue, Unwritable, make_registers
from fieldgate_devices.modbus.requests import Limits, Request, Write, merge, read_values, split, writes_of
from fieldgate_devices.modbus.spec import ModbusSpec, ModbusWrite, RegisterSpec

__all__ = [
    "Limits",
    "ModbusSpec",
    "ModbusWrite",
    "Register",
    "RegisterSpec",
    "RegisterValue",
    "Request",
    "Unwritable",
    "Write",
    "make_registers",
    "merge",
    "read_values",
    "split",
    "writes_of",
]
