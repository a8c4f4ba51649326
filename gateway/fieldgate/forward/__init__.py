"""Ways out: uplinks and what they need."""
