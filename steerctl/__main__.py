"""`python -m steerctl` is `steerctl`."""

from __future__ import annotations

from steerctl.cli import main

if __name__ == "__main__":
    main()
