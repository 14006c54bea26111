#!/usr/bin/env python3
"""record.py FOLDER [--runs N] [--jobs N]

Records what Erlang does in the scenarios of FOLDER/scenarios, as FOLDER/expected.jsonl. Each is run several times, in
another order each time, with one scheduler and with two in turns; a scenario that does not end the same way each time,
has a step that is never answered, a supervisor that refuses what its own init says, or a race that Erlang itself leaves
open, tells nothing and is left out, and its file removed with --drop.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SCENARIOS_MAX = 40  # of one virtual machine's life
SCENARIO_SECONDS_MAX = 60


def compiled(folder):
    """The beam files of the runner."""
    sources = [str(source) for source in sorted((HERE / "src").glob("*.erl"))]
    subprocess.run(["erlc", "-o", folder, *sources], check=True)
    return folder


def outcomes(ebin, schedulers, files):
    """What a virtual machine of its own makes of the scenarios: outcomes by name."""
    with tempfile.NamedTemporaryFile(mode="r", suffix=".jsonl") as output:
        erl = ["nice", "-n", "10", "erl", "-noshell", "+S", f"{schedulers}:{schedulers}", "-pa", ebin]
        command = [*erl, "-run", "oracle_record", "main", output.name, *map(str, files)]
        # Erlang looks for a home; a dump of one that crashed tells nothing here
        environment = {"HOME": "/tmp", **os.environ, "ERL_CRASH_DUMP_BYTES": "0"}
        try:
            subprocess.run(command, env=environment, timeout=SCENARIO_SECONDS_MAX * len(files), check=False)
        except subprocess.TimeoutExpired:
            print(f"record: gave up on {len(files)} scenarios", file=sys.stderr)
        lines = [json.loads(line) for line in output if line.endswith("\n")]
    return {outcome["name"]: outcome for outcome in lines}


def text(value):
    return json.dumps(value, sort_keys=True)


def canonical(scenario, outcome):
    """The outcome without what is no part of an expectation: what the scenario ignores, and order where none is given."""
    outcome = json.loads(text(outcome))
    for path in scenario.get("ignore", []):
        *parents, last = path.split("/")
        place = outcome
        for key in parents:
            place = place.get(key, {})
        place[last] = "*"
    final = outcome["final"]
    if scenario.get("lifecycle_order", "per_process") != "total" and final["lifecycle"] != "*":
        final["lifecycle"].sort(key=lambda event: event[1])
    for log in set(scenario.get("unordered_logs", [])) & set(final["logs"]):
        final["logs"][log].sort(key=text)
    return outcome


def races(step, result, outcome):
    """Whether a process is told that what it started has failed, and dies of that: in OTP the answer and the exit signal
    leave one after the other, and what lies between them, a report perhaps, decides whether it lives to pass the answer on."""
    starter = outcome["final"]["processes"].get(step.get("parent"))
    failed = isinstance(result, dict) and isinstance(result.get("ok"), list) and result["ok"][:1] == ["error"]
    return failed and isinstance(starter, dict) and result["ok"][1:] == starter["exits"]


def tells_nothing(scenario, outcome):
    """Whether a step is never answered, or a supervisor refuses its own flags or children: what OTP has begun by then,
    the oracle's own scenarios leave out. Nor does a race tell anything."""
    refused = ("start_spec", "supervisor_data", "bad_start_spec")
    ends = [end for process in outcome["final"]["processes"].values() if process != "*" for end in process["exits"]]
    results = [step["r"] for step in outcome["steps"]]
    return "no_response" in results or any(
        isinstance(end, list) and end and end[0] in refused for end in ends) or any(
        races(step, result, outcome) for step, result in zip(scenario["steps"], results))


def record(folder, runs, jobs):
    """The expectation of each stable scenario, and the names of the others."""
    files = sorted((folder / "scenarios").glob("*.json"))
    scenarios = {file: json.loads(file.read_text()) for file in files}
    alone = {file: scenario for file, scenario in scenarios.items() if scenario.get("nodes", 1) == 1}
    seen = {scenario["name"]: [] for scenario in alone.values()}
    shuffle = random.Random(len(alone))
    with tempfile.TemporaryDirectory() as ebin, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        compiled(ebin)
        work = []
        for run in range(runs):
            order = list(alone)
            shuffle.shuffle(order)
            part = max(1, min(SCENARIOS_MAX, len(order) // jobs))
            for at in range(0, len(order), part):
                work.append(pool.submit(outcomes, ebin, 1 + run % 2, order[at : at + part]))
        for done in concurrent.futures.as_completed(work):
            for name, outcome in done.result().items():
                seen[name].append(outcome)
    expected, unstable = [], []
    for scenario in alone.values():
        found = [canonical(scenario, outcome) for outcome in seen[scenario["name"]]]
        if any(tells_nothing(scenario, outcome) for outcome in found) or len(found) < runs or len({text(outcome) for outcome in found}) > 1:
            unstable.append(scenario["name"])
            continue
        kept = {key: scenario[key] for key in ("lifecycle_order", "unordered_logs") if key in scenario}
        expected.append({**found[0], **kept, "otp": "25", "runs": runs})
    return expected, unstable


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=8, help="virtual machines at a time; they wait most of the time")
    parser.add_argument("--drop", action="store_true", help="remove the files of unstable scenarios")
    options = parser.parse_args()
    expected, unstable = record(options.folder, options.runs, options.jobs)
    with (options.folder / "expected.jsonl").open("w") as output:
        for outcome in expected:
            output.write(text(outcome) + "\n")
    for name in unstable:
        print(f"record: {name} tells nothing", file=sys.stderr)
        if options.drop:
            (options.folder / "scenarios" / f"{name}.json").unlink()
    print(f"{len(expected)} recorded, {len(unstable)} unstable")


if __name__ == "__main__":
    main()
