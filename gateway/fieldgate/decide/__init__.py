"""What the rules say about an event before it is stored."""
