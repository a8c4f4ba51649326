"""Connections to other machines: dialling, TLS, and an MQTT session kept alive over as many of them as it takes."""
