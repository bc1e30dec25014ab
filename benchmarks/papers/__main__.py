"""What each paper's idea is worth on real images, beside the paper's own claim.

    python -m benchmarks.papers --data FOLDER --work FOLDER [--studies NAME ...] [--seeds N]
        [--minutes-in-all M] [--quick] [--output FOLDER]

`--data` is a folder that holds `camvid`, `dsb2018_nuclei` and `isbi2012`; without it only the
built-in sets are trained. Trains the first seed of all studies, then the second, and so on, the
largest claims first. Every training has a folder below `--work`, from which a second call resumes
it in the middle. Writes `papers.json` after every training, and then `papers.md` and `papers.png`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import keras

from benchmarks import common
from benchmarks.papers import report
from benchmarks.papers.studies import STUDIES
from benchmarks.papers.training import Place, Training, measure, recipe_of, train, trainings_of


def main() -> None:
    options = parse()
    path = common.output_folder(options) / "papers.json"
    record = {
        "machine": common.machine(options.threads),
        "versions": common.versions(("keras-seg", "tensorflow", "keras")),
        "trainings": json.loads(path.read_text())["trainings"] if path.exists() else {},
    }
    place = Place(options.data, options.work, options.quick)
    end = None
    if options.minutes_in_all is not None:
        end = time.perf_counter() + 60 * options.minutes_in_all
    if not options.report_only:
        for name, seed in rounds(options.studies or list(STUDIES), options.seeds, place):
            if not finish(name, seed, place, record, path, end):
                print("paused: the time is over; the same command resumes")
                break
    report.draw(path.with_suffix(".png"), record, quick=options.quick)
    common.write(path, record, report.markdown(record, quick=options.quick))


def parse() -> argparse.Namespace:
    parser = common.parser(__doc__, "two steps per training, on tiny crops of two images")
    parser.add_argument("--data", type=Path, help="folder of camvid, dsb2018_nuclei and isbi2012")
    parser.add_argument("--work", type=Path, help="folder of the trainings, from which they resume")
    parser.add_argument("--studies", nargs="+", choices=STUDIES, help="by default all")
    parser.add_argument("--seeds", type=int, help="at most so many; by default as each study says")
    parser.add_argument("--minutes-in-all", type=float, help="pause after this time")
    parser.add_argument(
        "--report-only", action="store_true", help="write the tables of papers.json again"
    )
    options = parser.parse_args()
    if options.work is None:
        options.work = Path(tempfile.mkdtemp(prefix="keras-seg-papers-"))
        print(f"The trainings are in {options.work}; pass it as --work to resume them.")
    if options.quick:
        options.seeds = options.seeds or 1
    return options


def rounds(names: list[str], seeds: int | None, place: Place) -> list[tuple[str, int]]:
    """(study, seed) in the order of training: one seed of every study, then the next seed."""
    for name in names:
        if not place.has(STUDIES[name].data):
            print(f"{name}: left out, --data FOLDER/{STUDIES[name].data} is needed")
    names = [name for name in names if place.has(STUDIES[name].data)]
    counts = {name: min(seeds or STUDIES[name].seeds, STUDIES[name].seeds) for name in names}
    return [
        (name, seed)
        for seed in range(max(counts.values(), default=0))
        for name in names
        if seed < counts[name]
    ]


def finish(name: str, seed: int, place: Place, record: dict, path: Path, end: float | None) -> bool:
    """Trains what is not finished of a study with one seed; False if the time ran out."""
    todo = trainings_of(name, STUDIES[name], seed, quick=place.quick)
    keys = {each.variant.name: each.key for each in todo}
    for each in todo:
        if each.key in record["trainings"]:
            continue
        minutes = None if end is None else (end - time.perf_counter()) / 60
        if minutes is not None and minutes < 0.5:
            return False
        print(f"{name}, seed {seed}: {each.variant.name}", flush=True)
        if not one(each, place, keys, minutes, record):
            return False
        common.keep(path, record)
    return True


def one(
    each: Training, place: Place, keys: dict[str, str], minutes: float | None, record: dict
) -> bool:
    study = STUDIES[each.study]
    recipe = recipe_of(each, study, place, keys)
    finished = train(recipe, each.variant, place, minutes)
    if finished:
        result = measure(recipe, each.variant, study, quick=place.quick)
        record["trainings"][each.key] = result | {"seed": each.seed, "machine": os.cpu_count()}
    keras.backend.clear_session()
    return finished


if __name__ == "__main__":
    main()
