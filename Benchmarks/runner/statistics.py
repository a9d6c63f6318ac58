"""Samples to figures: medians, and how far they lie apart."""

from statistics import median

# A median whose samples lie further apart than this share of it says so, and one where strangers kept more than this
# share of a processor busy in half of the samples.
WIDE = 0.25
QUIET = 0.15


def summarize(samples):
    """{row: {subject: {figure: {median, low, high}}}} of the samples that succeeded."""
    collected = {}
    for sample in samples:
        disturbance = {"others": sample["others"]} if "others" in sample else {}
        for figure, value in (sample.get("figures", {}) | disturbance).items():
            place = collected.setdefault(sample["row"], {}).setdefault(sample["subject"], {})
            place.setdefault(figure, []).append(value)
    rows = {
        row: {subject: {figure: _middle(values) for figure, values in figures.items()}
              for subject, figures in subjects.items()} for row, subjects in collected.items()}
    _mean_cpu(rows)
    return rows


def _middle(values):
    ordered = sorted(values)
    # The middle half, so that one disturbed sample in five does not widen it.
    cut = len(ordered) // 4
    return {"median": median(ordered), "low": ordered[cut], "high": ordered[-1 - cut]}


def _mean_cpu(rows):
    """The row `bulk`: CPU per GiB, the mean of the four bulk rows, for those subjects that have all four."""
    parts = [rows.get(f"bulk-{direction}-{streams}", {}) for streams in (1, 8) for direction in ("up", "down")]
    for subject in parts[0]:
        figures = [part.get(subject, {}).get("cpu_s_per_gib") for part in parts]
        if all(figures):
            rows.setdefault("bulk", {})[subject] = {"cpu_s_per_gib": {
                key: sum(figure[key] for figure in figures) / len(figures) for key in ("median", "low", "high")}}


def is_doubtful(figures, name):
    """Whether the samples of a figure lie far apart, or were disturbed."""
    figure = figures[name]
    is_wide = figure["high"] - figure["low"] > WIDE * abs(figure["median"])
    return is_wide or figures.get("others", {"median": 0})["median"] > QUIET


def judge(bounds, rows):
    """Each bound with its value, the spread of that, and whether it is met; None where it was not measured."""
    verdicts = []
    for bound in bounds:
        ours, theirs = (rows.get(bound["row"], {}).get(subject, {}) for subject in (bound["subject"], bound.get("of")))
        verdict = dict(bound, value=None, met=None)
        name = bound["figure"]
        if name in ours and ("of" not in bound or theirs.get(name, {}).get("median")):
            verdict["value"] = value = ours[name]["median"] / (theirs[name]["median"] if theirs else 1)
            verdict["met"] = value >= bound.get("at_least", value) and value <= bound.get("at_most", value)
            verdict["is_doubtful"] = is_doubtful(ours, name) or bool(theirs) and is_doubtful(theirs, name)
        verdicts.append(verdict)
    return verdicts
