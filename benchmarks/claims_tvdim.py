"""Whether text makes better images, and whether ranking is the way to use noisy text.

Command: python benchmarks/claims_tvdim.py --captions DIR [--products DIR] [--transfer DIR]
         python benchmarks/claims_tvdim.py --report docs/results.md

First a grid of learning rates (and temperatures) on AMDIM and on InfoNCE, never on the ranking, on
a part of the training images of its own: one recipe for all arms. Then pixels, random weights,
AMDIM, and TVDIM with a ranking, InfoNCE and similarity-regulated InfoNCE, with 0, 20, 40 and 60 %
of the captions swapped; text only, and the choices of the ranking, at 0 and 40 %. Same
encoder, augmentation, images, batch and number of updates for all; each seed has its own weights,
data order and swaps, the same for all arms. The test images are those of no training.

DIR of --captions and --products holds captions.jsonl as of configs/flickr8k.py (products: a field
"articleType" with the class); folders under DIR of --transfer hold the same rows in labels.jsonl.

Every arm and seed writes OUT/SIZE/SET/ARM_SEED.json as it ends; a second call goes on with what is
missing, and processes that differ in --only "seed 0" and so on share the work once the tuning is
done. JAX_COMPILATION_CACHE_DIR=DIR spares compiling an arm again for each seed. --size gpu is 64
pixels and a hundred passes over the images. --report writes the tables into a page, between its two
markers, and trains nothing.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.tvdim_claims from anywhere

import numpy as np
from ml_collections import ConfigDict

from benchmarks.studies.jobs import (
    Job,
    add_arguments,
    as_usage_errors,
    choose,
    missing,
    report_or_run,
    run_all,
    say,
)
from benchmarks.studies.records import Record, changed_fields, measure, read_records
from benchmarks.studies.training import Trained
from benchmarks.tvdim_claims.arms import ABLATIONS, ARMS, MAIN, PRODUCTS, SIZES, make_config
from benchmarks.tvdim_claims.report import report
from benchmarks.tvdim_claims.scoring import score_arm
from benchmarks.tvdim_claims.sets import open_splits, transfer_sets
from benchmarks.tvdim_claims.tuning import SEED, TUNING_ARMS, Recipe, choose_recipe
from tvdim_jax.experiment.data import Splits, with_noise

EXAMPLE = 'example: python benchmarks/claims_tvdim.py --captions DIR --only "seed 0"'
RESULTS = Path(__file__).parent / "results" / "claims_tvdim"


def main(arguments: list[str] | None = None) -> None:
    """Tunes, trains and scores what is missing, or writes the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--captions", default="", help="folder of photographs with captions")
    parser.add_argument("--products", default="", help="folder of products; none: left out")
    parser.add_argument("--transfer", type=Path, help="folder of labelled sets; none: left out")
    parser.add_argument("--size", choices=SIZES, default="cpu", help="%(default)s unless named")
    add_arguments(parser, RESULTS)
    report_or_run(parser, parser.parse_args(arguments), "claims_tvdim", report, run_study)


def run_study(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Runs what is missing of the tuning, then of the arms with the recipe that it chose."""
    with as_usage_errors(parser):
        tuning, others = chosen_jobs(args)
        check_folders([*tuning, *others], args)
        todo = missing(tuning, lambda job: changed_fields(config_of(job, args, None)))
    run_all(todo, lambda job: run(job, args, None))
    if not others:
        return
    with as_usage_errors(parser):
        recipe = choose_recipe(read_records(args.out / args.size / "tuning"))
        say(f"recipe: {recipe}")
        todo = missing(others, lambda job: changed_fields(config_of(job, args, recipe)))
    run_all(todo, lambda job: run(job, args, recipe))


def chosen_jobs(args: argparse.Namespace) -> tuple[list[Job], list[Job]]:
    """The chosen jobs of the tuning and of the arms; ValueError where there are none."""
    tuning = [_job(args, "tuning", arm, SEED) for arm in TUNING_ARMS if args.captions]
    found = choose(
        [*tuning, *_jobs(args)],
        args,
        _job(args, "captions", "ranking_noise40", 0),
        "--captions DIR or --products DIR says where the images are",
    )
    others = [job for job in found if job.name != "tuning"]
    return [job for job in found if job.name == "tuning"], others


def check_folders(jobs: Sequence[Job], args: argparse.Namespace) -> None:
    """Opens the sets before any hour is spent.

    Raises:
      ValueError: one cannot be read, or a record that is there was not scored on the other sets.
    """
    for name in dict.fromkeys(job.name for job in jobs):
        open_splits(name, _path(name, args))
    if args.transfer is None:
        return
    wanted = set(transfer_sets(args.transfer))
    for job in jobs:
        if job.name != "tuning" and job.arm in MAIN and job.path.exists():
            found = set(json.loads(job.path.read_text(encoding="utf-8"))["results"]["transfer"])
            if found != wanted:
                raise ValueError(
                    f"--transfer: got {', '.join(sorted(wanted))}, but {job.path} was scored on "
                    f"{', '.join(sorted(found)) or 'no other sets'}; move it away, or write to "
                    "another folder with --out"
                )


def _jobs(args: argparse.Namespace) -> Iterator[Job]:
    """In the order in which they are run: the most telling first."""
    seeds = range(args.seeds)
    for name, arms, of_seeds in (
        ("captions", MAIN, seeds),
        ("captions", ABLATIONS, seeds[:1]),
        ("products", PRODUCTS, seeds),
        ("captions", ABLATIONS, seeds[1:]),
    ):
        if args.captions if name == "captions" else args.products:
            yield from (_job(args, name, arm, seed) for seed in of_seeds for arm in arms)


def _job(args: argparse.Namespace, name: str, arm: str, seed: int) -> Job:
    return Job(name, arm, seed, args.out / args.size / name / f"{arm}_{seed}.json")


def config_of(job: Job, args: argparse.Namespace, recipe: Recipe | None) -> ConfigDict:
    """The job's config."""
    return make_config(
        args.size,
        job.arm,
        job.seed,
        recipe=recipe,
        num_steps=args.steps,
        path=_path(job.name, args),
    )


def _path(name: str, args: argparse.Namespace) -> str:
    """Folder of a set."""
    return args.products if name == "products" else args.captions


def run(job: Job, args: argparse.Namespace, recipe: Recipe | None) -> Record:
    """Trains and scores one arm: its record."""
    config, arm = config_of(job, args, recipe), ARMS[job.arm]
    clean = open_splits(job.name, _path(job.name, args))
    noisy = with_noise(config, clean)
    noise_index = getattr(noisy.train, "noise_index", None)
    transfer = transfer_sets(args.transfer) if args.transfer and job.arm in MAIN else {}

    def score(config: ConfigDict, splits: Splits, trained: Trained) -> dict[str, Any]:
        del splits  # their captions are swapped
        return score_arm(
            config,
            clean,
            trained,
            noise_index=noise_index,
            is_pixels=arm.is_pixels,
            has_one_label=job.name == "products",
            transfer=transfer,
        )

    record = measure(config, noisy, is_trained=arm.is_trained, score=score, show=say)
    names = {"size": args.size, "set": job.name, "arm": job.arm, "seed": job.seed}
    return {**names, "noise": _noise(config, noise_index), **record}


def _noise(config: ConfigDict, noise_index: np.ndarray | None) -> dict[str, Any]:
    """Which training rows had the captions of others; the index itself follows from the seed."""
    if noise_index is None:
        return {"rate": 0.0}
    return {
        "rate": config.data.noise_rate,
        "seed": config.data.noise_seed,
        "num_swapped": int((noise_index != np.arange(len(noise_index))).sum()),
        "index_blake2b": hashlib.blake2b(
            noise_index.astype("<i8").tobytes(), digest_size=16
        ).hexdigest(),
    }


if __name__ == "__main__":
    main()
