"""Samples to figures: medians, and how far they lie apart."""

from statistics import median

# A median whose samples lie further apart than this share of it says so.
WIDE = 0.25


def summarize(samples):
    """{row: {subject: {figure: {median, low, high}}}} of the samples that succeeded."""
    collected = {}
    for sample in samples:
        for figure, value in sample.get("figures", {}).items():
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


def is_wide(figure):
    return figure["high"] - figure["low"] > WIDE * abs(figure["median"])


def judge(bounds, rows):
    """Each bound with its value, the spread of that, and whether it is met; None where it was not measured."""
    verdicts = []
    for bound in bounds:
        ours, theirs = (_find(rows, bound, subject) for subject in (bound["subject"], bound.get("of")))
        verdict = dict(bound, value=None, met=None)
        if ours and (theirs or "of" not in bound):
            by = theirs["median"] if theirs else 1
            verdict["value"] = value = ours["median"] / by if by else None
            if value is not None:
                verdict["met"] = value >= bound.get("at_least", value) and value <= bound.get("at_most", value)
                verdict["is_wide"] = is_wide(ours) or bool(theirs and is_wide(theirs))
        verdicts.append(verdict)
    return verdicts


def _find(rows, bound, subject):
    return rows.get(bound["row"], {}).get(subject, {}).get(bound["figure"])
