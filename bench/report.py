# SPDX-License-Identifier: Apache-2.0
"""From measurements to rows (JSON lines), a table, and the marked sections of documents."""
import fnmatch
import pathlib
import re
import statistics
import sys

SECTION = re.compile(r"(<!-- bench:(.*?) -->).*?(<!-- end -->)", re.DOTALL)


def rows_of(case, programs, found, failures, shared):
    """Rows of one case. @param found  {(program, measure): ([values of a round, …], unit)}, rounds in order"""
    rows = []
    for program in programs:
        base = {"case": case, "program": program["name"], "dtype": program["dtype"]}
        # Of a baseline only the results are known, not which commit it is.
        about = shared | ({"commit": ""} if program["name"] == "baseline" else {})
        if reason := failures.get(program["name"]):
            rows.append(base | {"note": reason} | about)
            continue
        limn = next((other["name"] for other in programs if other["kind"] == "limn" and other["name"] != "baseline"
                     and other["dtype"] == program["dtype"] and other["name"] not in failures), None)
        for (name, measure), (rounds, unit) in found.items():
            if name != program["name"]:
                continue
            values = [value for values in rounds for value in values]
            row = base | {"measure": measure, "median": statistics.median(values), "min": min(values),
                          "max": max(values), "runs": len(values), "unit": unit}
            if limn not in (None, name):
                row["ratio"] = ratio(found[limn, measure][0], rounds) if (limn, measure) in found else None
            rows.append(row | about)
    return rows


def ratio(ours, theirs):
    """limn's time to the other's, the median over rounds: what slows the machine for a while touches both of a round."""
    pairs = [(statistics.median(a), statistics.median(b)) for a, b in zip(ours, theirs)]
    ratios = [a / b for a, b in pairs if b]
    return statistics.median(ratios) if ratios else None


def number(value, digits=3):
    return "" if value is None else f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"


def by_program(rows):
    """{(case, program): {measure: row}}, in the rows' order; a failure is the measure "note"."""
    out = {}
    for row in rows:
        out.setdefault((row["case"], row["program"]), {})[row.get("measure", "note")] = row
    return out


def details(measures):
    """What only a whole run has, in few words."""
    texts = [f"{name} {number(measures[name]['median'])}" for name in ("load", "encode", "denoise", "decode")
             if name in measures]
    if disk := measures.get("read from disk"):
        texts.append(f"read {disk['median']:.0f} MiB")
    if difference := measures.get("difference"):
        texts.append(f"differs {difference['median']:.1e}")
    return ", ".join(texts)


def cells_of(rows):
    for (case, program), measures in by_program(rows).items():
        if note := measures.get("note"):
            yield [case, program, "", "", "", "", "", "", "", note["note"]]
            continue
        time, memory = measures["time"], measures.get("peak memory", {})
        yield [case, program, number(time["median"], 4), number(time["min"], 4), number(time["max"], 4),
               str(time["runs"]), number(time.get("ratio")), number(memory.get("median"), 4),
               number(memory.get("ratio")), details(measures)]


HEAD = ["case", "program", "median s", "min", "max", "runs", "limn/it", "peak MiB", "limn/it", ""]


def table(rows):
    lines = [HEAD, *cells_of(rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    left = (0, 1, len(HEAD) - 1)
    return "\n".join("  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)


def markdown(rows):
    lines = ["| case | program | seconds: median (least to most) | limn / it | peak memory, MiB | limn / it |",
             "|---|---|---|---|---|---|"]
    before = None
    for case, program, median, least, most, _, faster, memory, smaller, note in cells_of(rows):
        time = f"{median} ({least} to {most})" if median else note
        shown = case if case != before else ""
        lines.append(f"| {shown} | {program} | {time} | {faster} | {memory} | {smaller} |")
        before = case
    runs = {(row["machine"], row["threads"], row["date"][:10], row["commit"], row["command"])
            for row in rows if row["program"] != "baseline"}
    lines.append("")
    lines += [f"{machine}, {threads} threads, {date}, commit {commit or 'unknown'}: `{command}`"
              for machine, threads, date, commit, command in sorted(runs)]
    return "\n".join(lines)


def latest(rows):
    """Of each case, the rows of its last run."""
    dates = {}
    for row in rows:
        dates[row["case"]] = max(dates.get(row["case"], ""), row["date"])
    return [row for row in rows if row["date"] == dates[row["case"]]]


def write_sections(document, rows):
    """Fills `<!-- bench:CASE,PATTERN,… -->` to `<!-- end -->` with these rows; leaves sections without any as they are."""
    path = pathlib.Path(document)
    rows = latest(rows)

    def fill(section):
        patterns = [pattern.strip() for pattern in section[2].split(",")]
        chosen = [row for pattern in patterns for row in rows if fnmatch.fnmatchcase(row["case"], pattern)]
        if not chosen:
            print(f"limn: {document}: nothing measured for bench:{section[2]}, left as it is", file=sys.stderr)
            return section[0]
        return f"{section[1]}\n{markdown(chosen)}\n{section[3]}"

    text = path.read_text(encoding="utf-8")
    filled, count = SECTION.subn(fill, text)
    if count == 0:
        print(f"limn: {document}: has no <!-- bench:NAME --> … <!-- end -->", file=sys.stderr)
    if filled != text:
        path.write_text(filled, encoding="utf-8")
