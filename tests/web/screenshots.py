"""``make screenshots``: the pictures of the page for the documentation, of a house and of a cluster in the lab."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.lab.namespaces import obstacle
from tests.web import cluster_pictures, house_pictures

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.screenshots")
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="FOLDER", help="default: docs/images")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    if reason := obstacle():
        sys.exit(f"screenshots: {reason}")
    house_pictures.pictures(folder)
    cluster_pictures.pictures(folder)


if __name__ == "__main__":
    main()
