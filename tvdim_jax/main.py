"""The door: `python -m tvdim_jax.main --config=configs/coco.py --config.field=value`."""

import sys

from tvdim_jax.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
