"""Tables for people (Markdown, so that they can be pasted into docs/performance.md)."""

from .statistics import is_doubtful

COLUMNS = [
    ("bulk up, 1", "bulk-up-1", "gbit_s"), ("bulk down, 1", "bulk-down-1", "gbit_s"),
    ("bulk up, 8", "bulk-up-8", "gbit_s"), ("bulk down, 8", "bulk-down-8", "gbit_s"),
    ("CPU/GiB", "bulk", "cpu_s_per_gib"), ("64 B p50", "ping-1", "p50_us"), ("p99", "ping-1", "p99_us"),
    ("64 B rate, 64", "ping-64", "per_s"), ("p99", "ping-64", "p99_us"), ("conns/s, 1", "connect-1", "per_s"),
    ("conns/s, 64", "connect-64", "per_s"), ("HTTP/s, 64", "http-64", "per_s"), ("p99", "http-64", "p99_us"),
    ("beside bulk: p50", "fair", "p50_us"), ("bulk", "fair", "gbit_s"),
    ("beside 4 bulk: p50", "fair-4", "p50_us"), ("bulk", "fair-4", "gbit_s"),
    ("stalled, own", "stalled", "own_bytes")]
MEMORY = [
    ("idle PSS, MiB", "pss_mib"), ("largest process: anonymous, MiB", "anonymous_mib"),
    ("resident, MiB", "resident_mib"), ("bytes per connection at 1,000", "bytes_at_1000"),
    ("at 4,000", "bytes_at_4000")]
DATAGRAMS = [
    ("one, p50", "datagrams-1", "p50_us"), ("32 in flight", "datagrams-1-32", "per_s"),
    ("256 flows", "datagrams-256", "per_s"), ("flood, 64 B", "flood-64", "per_s"),
    ("flood, 1,200 B", "flood-1200", "gbit_s"), ("CPU for each", "flood-64", "cpu_us")]
FAR = [
    ("first byte", "first_ms"), ("100 KB", "page_ms"), ("its 90 %", "page_p90_ms"), ("10 MB", "file_ms"),
    ("16 × 100 KB", "burst_ms"), ("64 B, kept", "exchange_ms"), ("its 90 %", "exchange_p90_ms")]
REFERENCE = "haproxy"


def table(head, lines):
    cells = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def ratios(rows, subjects):
    """Every subject by H; `~` marks what lay far apart or was disturbed."""
    columns = [(title, row, figure) for title, row, figure in COLUMNS if REFERENCE in rows.get(row, {})]
    lines = [
        [subject.label] + [_ratio(rows[row], subject.key, figure) for _, row, figure in columns]
        for subject in subjects]
    return table(["by H"] + [title for title, _, _ in columns], lines) if columns else ""


def _ratio(row, subject, figure, reference=REFERENCE):
    ours, theirs = (row.get(key, {}) for key in (subject, reference))
    if figure not in ours or not theirs.get(figure, {}).get("median"):
        return "-"
    mark = "~" if is_doubtful(ours, figure) or is_doubtful(theirs, figure) else ""
    return f"{ours[figure]['median'] / theirs[figure]['median']:.2f}{mark}"


def absolutes(rows, subjects):
    """Medians, and the middle half of the samples in brackets."""
    columns = [(title, row, figure) for title, row, figure in COLUMNS if row in rows]
    units = {"gbit_s": "Gbit/s", "cpu_s_per_gib": "s", "p50_us": "µs", "p99_us": "µs", "per_s": "/s",
             "own_bytes": "bytes"}
    lines = [
        [subject.label] + [_absolute(rows[row].get(subject.key, {}).get(figure)) for _, row, figure in columns]
        for subject in subjects]
    return table(["median"] + [f"{title} ({units[figure]})" for title, _, figure in columns], lines) if columns else ""


def _absolute(figure):
    if not figure:
        return "-"
    return f"{number(figure['median'])} ({number(figure['low'])}–{number(figure['high'])})"


def far(rows, subjects):
    """Of the rows with a distance: milliseconds of the direct way, and every other subject by that."""
    lines = []
    for row, figures in rows.items():
        direct = figures.get("direct")
        if not row.startswith("distance-") or not direct:
            continue
        _, delay, *loss = row.split("-")
        lines.append([f"{delay} ms, {loss[0] if loss else 0} %", "direct, ms"] + [
            number(direct[figure]["median"]) for _, figure in FAR])
        lines += [["", subject.label] + [_ratio(figures, subject.key, figure, "direct") for _, figure in FAR]
                  for subject in subjects if subject.key in figures and subject.key != "direct"]
    return table(["each way, lost", "by direct"] + [title for title, _ in FAR], lines) if lines else ""


def datagrams(rows, subjects):
    """By nginx twice, where that was measured, and as they are."""
    columns = [(title, row, figure) for title, row, figure in DATAGRAMS if row in rows]
    lines = []
    for subject in subjects:
        if not any(subject.key in rows[row] for _, row, _ in columns):
            continue
        lines.append([subject.label] + [
            f"{_ratio(rows[row], subject.key, figure, 'nginx')}: "
            f"{_absolute(rows[row].get(subject.key, {}).get(figure))}" for _, row, figure in columns])
    return table(["datagrams, by nginx twice"] + [title for title, _, _ in columns], lines) if lines else ""


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def memory(rows, subjects):
    row = rows.get("memory", {})
    lines = [
        [subject.label] + [
            number(row[subject.key][figure]["median"]) if figure in row[subject.key] else "-" for _, figure in MEMORY]
        for subject in subjects if subject.key in row]
    return table(["memory of all processes"] + [title for title, _ in MEMORY], lines) if lines else ""


def bounds(verdicts):
    """The bounds whose figures were measured."""
    lines = []
    for verdict in verdicts:
        if verdict["met"] is None:
            continue
        side = "at_least" if "at_least" in verdict else "at_most"
        limit = f"{side.replace('_', ' ')} {verdict[side]:g}" + (f" of {verdict['of']}" if "of" in verdict else "")
        value = f"{verdict['value']:.3g}" + ("~" if verdict["is_doubtful"] else "")
        state = "met" if verdict["met"] else "**missed**"
        lines.append([verdict["subject"], verdict["row"], verdict["figure"], limit, value, state])
    return table(["subject", "row", "figure", "bound", "measured", ""], lines) if lines else ""


def failures(samples):
    """One line for each row and subject that failed."""
    seen = {(sample["row"], sample["subject"]): sample["error"] for sample in samples if "error" in sample}
    return [f"{row}, {subject}: {error}" for (row, subject), error in seen.items()]
