"""Whether LMI's local objective beats the global one: arms trained alike, over several seeds.

Command: python benchmarks/claims_lmi.py --captions DIR
         python benchmarks/claims_lmi.py --report docs/lmi.md

On scenes with one sentence per object: image-only (AMDIM), global DV, global InfoNCE, local InfoNCE
and local + global, scored by a linear probe, retrieval by the trained critics and the pointing game
(is the centre of the best-scoring region inside the box of the object that the sentence names). On
photographs, in a folder as of configs/flickr8k.py with its captions as sentences: global InfoNCE
against local + global. All arms of a set have the same encoders, data, batch, augmentation and
number of updates. AMDIM sees two views of an image in an update, the others one.

Every arm and seed writes OUT/SET/ARM_SEED.json as it ends; a second call goes on with what is
missing. --report writes the tables into a page, between its two markers, and trains nothing.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # finds benchmarks.lmi_claims from anywhere

from benchmarks.lmi_claims.arms import ARMS, SETS, make_config
from benchmarks.lmi_claims.report import read_runs, report, write_report
from benchmarks.lmi_claims.scoring import score_arm
from benchmarks.lmi_claims.sets import open_splits
from benchmarks.lmi_claims.training import train_arm
from benchmarks.loss_costs.report import device_name, versions
from tvdim_jax.config import default, flat_fields

EXAMPLE = "example: python benchmarks/claims_lmi.py --only scenes/local --seeds 1"
RESULTS = Path(__file__).parent / "results" / "claims_lmi"


class Job(NamedTuple):
    """One arm and seed on one set, and where its record goes."""

    name: str
    arm: str
    seed: int
    path: Path

    def __str__(self) -> str:
        """Such as "scenes/global_dv seed 0"."""
        return f"{self.name}/{self.arm} seed {self.seed}"


def main(arguments: list[str] | None = None) -> None:
    """Trains and scores what is missing, or writes the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--captions", default="", help="folder of photographs; none: scenes alone")
    parser.add_argument("--only", default="", help="words, by commas: jobs named with one of them")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm; %(default)s")
    parser.add_argument("--steps", type=int, help="updates of each arm; default: that of the set")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSONs")
    parser.add_argument("--report", type=Path, help="page for the tables; nothing is trained")
    args = parser.parse_args(arguments)
    try:
        jobs = [] if args.report else jobs_of(args)
        todo = [job for job in jobs if not is_done(job, args)]
        if args.report:
            write_report(args.report, read_runs(args.out))
    except ValueError as error:
        parser.error(str(error))
    if jobs:
        say(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them done before")
    run_all(todo, args)
    print(report(read_runs(args.out)))


def run_all(todo: list[Job], args: argparse.Namespace) -> None:
    """Runs what has no record, seed by seed; a line each, with the time that is left."""
    start = time.perf_counter()
    for count, job in enumerate(todo, start=1):
        say(f"{job}: {count} of {len(todo)}")
        write(job.path, run(job, args))
        left = (time.perf_counter() - start) / count * (len(todo) - count)
        say(f"{job}: done; about {left / 60:.0f} min left for the other {len(todo) - count}")


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """The chosen jobs; ValueError where there are none."""
    jobs = [
        Job(name, arm, seed, args.out / name / f"{arm}_{seed}.json")
        for seed in range(args.seeds)
        for name, arms in SETS.items()
        for arm in arms
        if name == "scenes" or args.captions
    ]
    chosen = [job for job in jobs if any(word in str(job) for word in args.only.split(","))]
    if not chosen:
        raise ValueError(
            f"--only: got {args.only!r} and {args.seeds} seeds, wanted a part of a name such as "
            f"{Job('scenes', 'local_info_nce', 0, args.out)}; photographs need --captions DIR"
        )
    return chosen


def is_done(job: Job, args: argparse.Namespace) -> bool:
    """Whether the record is there; ValueError where it is one of other settings."""
    if not job.path.exists():
        return False
    found = json.loads(job.path.read_text(encoding="utf-8"))["fields"]
    wanted = json.loads(json.dumps(changed_fields(job, args)))
    if different := sorted(k for k in found | wanted if found.get(k) != wanted.get(k)):
        raise ValueError(
            f"{job.path} was made with other values of {', '.join(different)}: move it away, or "
            "write to another folder with --out"
        )
    return True


def run(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """Trains and scores one arm: its record."""
    config = config_of(job, args)
    splits = open_splits(config)
    start = _seconds()
    trained = train_arm(config, splits, is_trained=ARMS[job.arm].is_trained, show=say)
    middle = _seconds()
    results = score_arm(config, splits, trained)
    end = _seconds()
    return {
        "set": job.name,
        "arm": job.arm,
        "seed": job.seed,
        "device": device_name(),
        "versions": versions(),
        "fields": changed_fields(job, args),
        "num_steps": config.train.num_steps,
        "batch_size": config.train.batch_size,
        "num_train": len(splits.train),
        "num_test": len(splits.test),
        "last_metrics": trained.metrics,
        "results": results,
        "train_cpu_seconds": middle[0] - start[0],
        "train_wall_seconds": middle[1] - start[1],
        "evaluation_cpu_seconds": end[0] - middle[0],
    }


def config_of(job: Job, args: argparse.Namespace) -> Any:
    """The job's config."""
    path = "" if job.name == "scenes" else args.captions
    return make_config(job.name, job.arm, job.seed, num_steps=args.steps, path=path)


def changed_fields(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """The config fields that are not at their defaults, paths left out."""
    usual = flat_fields(default())
    fields = flat_fields(config_of(job, args))
    return {k: v for k, v in fields.items() if v != usual[k] and k != "data.path"}


def write(path: Path, record: dict[str, Any]) -> None:
    """Writes all or nothing, so that a record that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def say(line: str) -> None:
    """Prints at once, also into a file."""
    print(line, flush=True)


def _seconds() -> tuple[float, float]:
    """CPU seconds of all threads, and wall seconds."""
    return time.process_time(), time.perf_counter()


if __name__ == "__main__":
    main()
