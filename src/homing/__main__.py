"""``python -m homing``."""

from homing.app.cli import main

if __name__ == "__main__":
    main()
