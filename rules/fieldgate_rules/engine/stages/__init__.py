"""What stands between a condition and its actions: a class per key."""
