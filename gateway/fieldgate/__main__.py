"""``python -m fieldgate``."""

from fieldgate.cli import main

if __name__ == "__main__":
    main()
