# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' runner on a tiny model with stand-ins for the peers: order, ratios, table, failures, documents.

    smoke_test.py LIMN
"""
import json
import pathlib
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(root / "bench"))
import report  # noqa: E402

limn = pathlib.Path(sys.argv[1]).resolve()
DOCUMENT = """# Speed
before
<!-- bench:part -->
old
<!-- end -->
between
<!-- bench:never,nothing_* -->
stays
<!-- end -->
<!-- bench:pa*,whole --><!-- end -->
"""


def peer(folder, name, **options):
    return {"name": name, "kind": "peer", "file": "stand_in.py", "dtype": options.pop("dtype", "float32"),
            "options": {"log": str(folder / "log"), "calls_itself": name, **options}}


def set_up(folder):
    """A limn that notes its calls, stand-ins, and a case of each kind."""
    wrapper = folder / "limn"
    wrapper.write_text(f'#!/bin/sh\necho "$1 limn" >>"{folder}/log"\nexec "{limn}" "$@"\n')
    wrapper.chmod(0o755)
    programs = [{"name": "limn", "kind": "limn", "dtype": "float32"},
                peer(folder, "steady", seconds=[2.0, 4.0]), peer(folder, "half", seconds=[1, 1], dtype="bfloat16"),
                peer(folder, "broken", behaves="fails"), peer(folder, "absent", behaves="is missing"),
                peer(folder, "mumbling", behaves="mumbles"),
                {**peer(folder, "elsewhere", seconds=[1, 1]), "needs": ["no_cpu_has_this"]}]
    (folder / "programs.json").write_text(json.dumps(programs))
    (folder / "cases").mkdir()
    request = {"width": 64, "height": 64}
    (folder / "cases" / "part.json").write_text(json.dumps(
        {"name": "part", "model": "tiny_sd1", "part": "step", "rounds": 3, "repeats": 2, "request": request}))
    (folder / "cases" / "whole.json").write_text(json.dumps(
        {"name": "whole", "model": "tiny_sd1", "start": "cold", "rounds": 2, "programs": ["limn", "steady"],
         "request": {**request, "prompt": "fog", "steps": 2, "guidance_scale": 7.5}}))
    (folder / "cases" / "own.json").write_text(json.dumps(
        {"name": "own", "rounds": 1, "programs": ["limn"], "request": {**request, "prompt": "fog", "steps": 1}}))


def bench(folder, *more):
    command = [sys.executable, str(root / "bench" / "run.py"), "--limn", str(folder / "limn"), "--cases",
               str(folder / "cases"), "--programs-file", str(folder / "programs.json"), "--peers",
               str(root / "tests" / "bench"), "--peers-python", sys.executable, "--models", str(root / "tests" / "goldens"),
               "--threads", "1", "--out", str(folder / "results.jsonl"), *map(str, more)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300)
    assert result.returncode == 0, result.stderr
    return result


def rows_of(folder, **wanted):
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def row_of(folder, **wanted):
    found = rows_of(folder, **wanted)
    assert len(found) == 1, (wanted, found)
    return found[0]


def check_order(folder):
    calls = (folder / "log").read_text().splitlines()
    there = calls.index("bench limn")
    forward, backward = ["bench limn", "part steady", "part half"], ["part half", "part steady", "bench limn"]
    answering = [call for call in calls[there:there + 11] if "broken" not in call and "mumbling" not in call]
    assert answering == forward + backward + forward, calls
    assert calls.count("part broken") == calls.count("part mumbling") == 1, "what fails is not run again"
    assert "prepare steady" in calls[:there], "prepared before the first round"


def check_rows(folder):
    own, steady = (row_of(folder, case="part", program=name, measure="time") for name in ("limn", "steady"))
    assert own["runs"] == steady["runs"] == 6 and own["min"] <= own["median"] <= own["max"]
    assert (steady["min"], steady["median"], steady["max"]) == (2, 3, 4)
    assert own["min"] <= 3 * steady["ratio"] <= own["max"], (own, steady)
    assert "ratio" not in own and steady["threads"] == 1 and steady["unit"] == "s" and steady["machine"]
    assert "run.py" in steady["command"]
    memory = row_of(folder, case="part", program="steady", measure="peak memory")
    assert 1 < memory["median"] < 200 and memory["ratio"] > 1, memory
    assert "ratio" not in row_of(folder, case="part", program="half", measure="time"), "limn has no bfloat16 row"

    whole = {row["measure"]: row["median"] for row in rows_of(folder, case="whole", program="limn")}
    assert whole["time"] > whole["denoise"] > 0 and "read from disk" in whole
    assert 0 < row_of(folder, case="whole", program="steady", measure="difference")["median"] < 10
    assert row_of(folder, case="whole", program="steady", measure="denoise")["median"] == 3
    assert row_of(folder, case="own", program="limn", measure="time")["runs"] == 1


def check_failures(folder, table):
    for program, note in [("broken", "failed with exit 1: the stand-in fell over"), ("mumbling", "its answer lacks"),
                          ("absent", "not installed: a_module_that_nobody_has"), ("elsewhere", "the CPU has none of no_cpu_has_this")]:
        assert note in row_of(folder, case="part", program=program)["note"]
        assert any(program in line and note in line for line in table.splitlines()), table


def check_documents(folder):
    document = folder / "speed.md"
    document.write_text(DOCUMENT)
    for _ in range(2):  # what is written is written over
        bench(folder, "--from", folder / "results.jsonl", "--write", document)
        text = document.read_text()
        assert text.startswith("# Speed\nbefore\n<!-- bench:part -->\n| case | program |") and "\nold\n" not in text
        assert "between\n<!-- bench:never,nothing_* -->\nstays\n<!-- end -->\n" in text
        part, both = text.split("<!-- end -->")[0], text.split("<!-- end -->")[2]
        assert "| part | limn |" in part and "|  | steady | 3 (2 to 4) |" in part and "whole" not in part, part
        assert "the stand-in fell over" in part and "1 threads" in part and "run.py" in part
        assert "| part | limn |" in both and "| whole | limn |" in both, both
        assert text.count("<!-- end -->") == 3


def check_absent_peers(folder):
    (folder / "results.jsonl").unlink()
    table = bench(folder, "--only", "part", "--peers-python", folder / "nowhere").stdout
    assert row_of(folder, case="part", program="steady")["note"] == "not installed (make bench-peers)"
    assert row_of(folder, case="part", program="limn", measure="time") and "not installed" in table
    table = bench(folder, "--only", "part", "--models", folder / "nowhere", "--out", folder / "other").stdout
    assert "its model is not there" in table


def check_statistics():
    drifting = report.ratio([[1, 1.1, 1.2], [4]], [[2.2], [8]])
    assert drifting == 0.5, "a machine that gets slower moves both of a round"
    assert report.ratio([[1]], [[0]]) is None
    rows = [{"case": "a", "date": "1"}, {"case": "a", "date": "2"}, {"case": "b", "date": "1"}]
    assert report.latest(rows) == rows[1:]


def check_data():
    """The cases and programs that are there."""
    helped = {name: subprocess.run([limn, name, "--help"], capture_output=True, text=True).stdout
              for name in ("generate", "bench")}
    programs = json.loads((root / "bench" / "programs.json").read_text())
    names = {program["name"] for program in programs}
    assert len(names) == len(programs)
    for program in programs:
        if program["kind"] == "peer":
            path = root / "bench" / "peers" / program["file"]
            compile(path.read_text(), str(path), "exec")
    for path in (root / "bench" / "cases").glob("*.json"):
        case = json.loads(path.read_text())
        assert case["name"] == path.stem and case["rounds"] > 0
        for setting in case["request"]:
            flag = setting if setting == "prompt" else "--" + setting.replace("_", "-") + " "
            assert flag in helped["bench" if "part" in case else "generate"], (path, setting)


with tempfile.TemporaryDirectory() as name:
    place = pathlib.Path(name)
    set_up(place)
    shown = bench(place).stdout
    check_order(place)
    check_rows(place)
    check_failures(place, shown)
    check_documents(place)
    check_absent_peers(place)
check_statistics()
check_data()
print("bench: order, ratios, failures, table and documents are as they should be")
