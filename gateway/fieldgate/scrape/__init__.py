"""The port on which Prometheus reads what the gateway counts."""
