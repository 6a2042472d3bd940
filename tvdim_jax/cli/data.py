"""`tvdim data`: prepare data sets."""

import argparse
from collections.abc import Sequence

from tvdim_jax.experiment.data import prepare_coco

_EXAMPLE = """\
example:
  tvdim data prepare coco --from ~/coco --data_dir ~/tensorflow_datasets
"""
_PREPARE = f"""\
Write COCO captions as a TFDS data set in ArrayRecord, without TensorFlow.
Reads a local COCO folder (annotations/captions_*.json, train2014/ or train2017/, ...); without
--from it downloads the official archives.

{_EXAMPLE}"""


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Adds the verb to the console script."""
    parser = verbs.add_parser(
        "data",
        help="prepare data sets",
        description=f"Prepare data sets.\n\n{_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    prepare = actions.add_parser(
        "prepare",
        help="write a data set that training can read",
        description=_PREPARE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument("dataset", choices=("coco",))
    prepare.add_argument("--from", dest="from_dir", metavar="DIR", help="a local COCO folder")
    prepare.add_argument(
        "--data_dir", default="", metavar="DIR", help="where TFDS keeps its sets (its default)"
    )
    prepare.set_defaults(run=run_prepare)


def run_prepare(args: argparse.Namespace, _: Sequence[str]) -> int:
    """Runs `data prepare`; see `tvdim_jax.cli.entry.main` for the exit codes."""
    print(prepare_coco(args.from_dir, args.data_dir))  # noqa: T201
    return 0
