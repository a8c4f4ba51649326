"""What the gateway says about itself: log, health, metrics."""
