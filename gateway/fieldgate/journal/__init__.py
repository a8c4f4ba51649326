"""What must not be lost: the outbox that decides, and the one SQLite file that remembers."""
