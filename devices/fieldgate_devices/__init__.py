"""What a device may say: events and, later, the contracts (profiles) they are checked against."""
