"""Fieldgate: an IoT edge gateway that acknowledges an event only once it is safe."""
