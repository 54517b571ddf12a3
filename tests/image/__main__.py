"""``make image``: build the image and say how to run it."""

from __future__ import annotations

import argparse
import sys

from tests.image.builder import CannotBuild, build, obstacle


def main() -> int:
    """Build it; the exit status."""
    parser = argparse.ArgumentParser(prog="make image ARGS=...", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="with a base made anew of today's packages")
    given = parser.parse_args()
    hindrance = obstacle()
    if hindrance:
        sys.stderr.write(
            f"make image: {hindrance}. With Docker or Podman and a registry there is:\n"
            "  docker build -f deploy/docker/Dockerfile -t homing .\n"
        )
        return 1
    try:
        image = build(fresh=given.fresh)
    except CannotBuild as error:
        sys.stderr.write(f"make image: {error}\n")
        return 1
    sys.stdout.write(f"""
  image    {image.name}, {image.archive.stat().st_size / 1e6:.0f} MB, runs as 65532:65532, no shell
  archive  {image.archive}

  podman load -i {image.archive}      # or docker load, or ctr -n k8s.io images import
  podman run --rm --read-only --cap-drop all -p 127.0.0.1:8053:8053 {image.name} up --web :8053

""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
