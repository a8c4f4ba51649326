"""What comes in: sources and the listener, and how a message becomes an event."""
