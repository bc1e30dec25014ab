"""The tables and the curves of the studies."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks import common
from benchmarks.papers.measuring import LOWER_IS_BETTER
from benchmarks.papers.records import Study, Variant
from benchmarks.papers.studies import STUDIES
from benchmarks.papers.training import trainings_of

TITLES = {
    "miou": "mIoU %",
    "foreground_iou": "IoU of nuclei %",
    "class_accuracy": "class accuracy %",
    "boundary_f1": "BF %",
    "pixel_error": "pixel error",
    "pixel_error_views": "pixel error, mirrored views",
    "rand_error": "Rand error",
    "miou_views": "mIoU with views %",
}
NOT_RUN = "not run yet"

Results = dict[str, list[dict]]
"""Name of a variant → the records of its finished trainings, by seed."""


def results_of(name: str, record: dict, *, quick: bool = False) -> Results:
    """The finished trainings of a study."""
    study = STUDIES[name]
    results: Results = {variant.name: [] for variant in study.variants}
    for seed in range(study.seeds):
        for each in trainings_of(name, study, seed, quick=quick):
            if each.key in record["trainings"]:
                results[each.variant.name].append(record["trainings"][each.key])
    return results


def rows_of(study: Study) -> list[Variant]:
    return [variant for variant in study.variants if not variant.only_a_step]


def markdown(record: dict, *, quick: bool = False) -> str:
    studies = {name: results_of(name, record, quick=quick) for name in STUDIES}
    sections = [
        section(STUDIES[name], results)
        for name, results in studies.items()
        if any(results.values())
    ]
    left = [
        f"`{name}` ({STUDIES[name].idea})"
        for name, each in studies.items()
        if not any(each.values())
    ]
    return (
        "# What each paper's idea is worth here\n\n"
        f"{common.machine_line(record)} Scores are of the validation images, which also chose the "
        "best epoch of each training. With several seeds: mean ± standard deviation. The "
        "differences are between trainings of one seed. Minutes are wall time on a machine that "
        "also did other work; core minutes are the processor's.\n\n"
        f"{summary(studies)}\n"
        + ("" if not left else f"Not run yet: {'; '.join(left)}.\n\n")
        + "![Curves](papers.png)\n\n"
        + "\n".join(sections)
    )


def summary(studies: dict[str, Results]) -> str:
    """One row per idea: the paper's claim, and the difference that was measured here."""
    header = ("idea", "compared", "the paper's claim", "measured here", "difference", "seeds")
    rows = []
    for name, results in studies.items():
        study = STUDIES[name]
        metric = study.metrics[0]
        idea, claim = study.idea, study.claim  # in the first row of a study alone
        for variant in rows_of(study)[1:]:
            reference = variant.against or rows_of(study)[0].name
            own, base = results[variant.name], results[reference]
            pairs = paired(own, base, metric)
            measured = NOT_RUN
            if pairs:
                values = [
                    mean_and_spread([each["scores"][metric] for each in side], metric)
                    for side in (own, base)
                ]
                measured = f"{TITLES[metric]} {values[0]} against {values[1]}"
            difference = signed(pairs, metric) if pairs else ""
            seeds = len(pairs) or ""
            compared = f"{variant.name} against {reference}"
            rows.append((idea, compared, claim, measured, difference, seeds))
            idea = claim = ""
    return common.markdown_table(header, rows)


def section(study: Study, results: Results) -> str:
    """The table of one study."""
    names = [*study.metrics]
    names += [
        name
        for each in results.values()
        for row in each[:1]
        for name in row["scores"]
        if name in TITLES and name not in names
    ]
    header = ("variant", "parameters", "steps", "seeds", "minutes", "core minutes")
    rows = []
    for variant in rows_of(study):
        own = results[variant.name]
        if not own:
            rows.append((variant.name, "", "", 0, "", "", *[NOT_RUN for _ in names]))
            continue
        means = [statistics.mean(each[key] for each in own) for key in TIME_KEYS]
        cells = [
            mean_and_spread([each["scores"][name] for each in own if name in each["scores"]], name)
            for name in names
        ]
        first = own[0]
        rows.append(
            (
                variant.name,
                f"{first['parameters']:,}",
                f"{first['steps']} of {first['batch_size']}",
                len(own),
                *(f"{mean:.1f}" for mean in means),
                *cells,
            )
        )
    table = common.markdown_table((*header, *(TITLES[name] for name in names)), rows)
    facts = "\n".join(filter(None, (levels(results), images(study, results))))
    return (
        f"## {study.idea}\n\n{study.paper}. Claim: {study.claim}. Data: {study.data}. "
        f"{study.note}\n\n{table}\n{facts}\n"
    )


TIME_KEYS = ("minutes", "processor_minutes")


def levels(results: Results) -> str:
    """The scores of the heads of a U-Net++, if a variant has them."""
    for name, own in results.items():
        if own and "foreground_iou_l1" in own[0]["scores"]:
            header = (f"{name}, cut down to", "parameters", TITLES["foreground_iou"])
            rows = [
                (
                    f"L{level}",
                    f"{own[0]['scores'][f'parameters_l{level}']:,}",
                    mean_and_spread(
                        [each["scores"][f"foreground_iou_l{level}"] for each in own],
                        "foreground_iou",
                    ),
                )
                for level in range(1, 5)
            ]
            return common.markdown_table(header, rows)
    return ""


def images(study: Study, results: Results) -> str:
    """Which validation images are best and worst, with the first seed."""
    facts = [
        f"{variant.name}: {results[variant.name][0]['images']['best']} and "
        f"{results[variant.name][0]['images']['worst']}"
        for variant in rows_of(study)
        if results[variant.name]
    ]
    return f"Best and worst validation image, first seed: {'; '.join(facts)}."


def paired(own: Sequence[dict], base: Sequence[dict], metric: str) -> list[float]:
    """Differences of a score between trainings of one seed."""
    by_seed = {each["seed"]: each["scores"][metric] for each in base}
    return [
        each["scores"][metric] - by_seed[each["seed"]] for each in own if each["seed"] in by_seed
    ]


def mean_and_spread(values: Sequence[float], metric: str) -> str:
    """Such as "71.2 ± 0.4"; one value alone has no spread."""
    if not values:
        return ""
    factor, digits = scale(metric)
    mean = f"{factor * statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {factor * statistics.stdev(values):.{digits}f}"


def signed(differences: Sequence[float], metric: str) -> str:
    """Such as "+1.3 ± 0.4 (better)"."""
    better = (statistics.mean(differences) > 0) != (metric in LOWER_IS_BETTER)
    text = mean_and_spread(differences, metric)
    return f"{'' if text.startswith('-') else '+'}{text} ({'better' if better else 'worse'})"


def scale(metric: str) -> tuple[float, int]:
    """Factor and decimals of a score: errors are shares as in the papers, others per cent."""
    return (1.0, 4) if metric in LOWER_IS_BETTER else (100.0, 1)


def draw(path: Path, record: dict, *, quick: bool = False) -> None:
    """The validation mIoU of every training, a panel per study."""
    studies = {name: results_of(name, record, quick=quick) for name in STUDIES}
    studies = {name: each for name, each in studies.items() if any(each.values())}
    if not studies:
        return
    columns = min(3, len(studies))
    lines = -(-len(studies) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(5 * columns, 3.6 * lines), squeeze=False)
    for axis in axes.flat[len(studies) :]:
        axis.set_visible(False)
    for axis, (name, results) in zip(axes.flat, studies.items(), strict=False):
        for i, (variant, own) in enumerate(results.items()):
            for j, each in enumerate(own):
                epochs = range(1, len(each["val_miou"]) + 1)
                label = variant if j == 0 else None
                axis.plot(epochs, each["val_miou"], color=f"C{i}", alpha=0.8, label=label)
        axis.set(title=name, xlabel="epoch", ylabel="validation mIoU")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="x-small")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
