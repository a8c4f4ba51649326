"""The outside world, faked: devices, an upstream broker and a bad network. Production imports none of it."""
