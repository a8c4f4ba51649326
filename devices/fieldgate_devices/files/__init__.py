"""How a YAML file that people write is read: every value with its position, every problem at once."""
