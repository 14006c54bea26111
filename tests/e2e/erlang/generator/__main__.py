"""python3 -m generator FOLDER --seed SEED --count COUNT [--known FOLDER]

Writes COUNT scenarios to FOLDER/scenarios: random programs of each topic, and small changes of the known scenarios. The
same seed, count and known scenarios make the same ones.
"""

import argparse
import json
import pathlib
import random

from . import mixed, servers, signals, supervision
from .mutations import mutation

PROGRAMS = [
    (signals.signals, 6), (signals.suspension, 2), (signals.names, 3), (signals.groups, 2), (signals.timers, 1),
    (supervision.tree, 9), (supervision.simple_one_for_one, 3), (supervision.failing_start, 3), (supervision.intensity, 1),
    (servers.gen_server, 4), (servers.stops, 3), (servers.gen_statem, 5), (servers.gen_event, 5), (mixed.mixed, 8),
]
MUTATIONS = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--known", type=pathlib.Path, help="a folder of scenarios to make changes of")
    options = parser.parse_args()
    known = [json.loads(file.read_text()) for file in sorted(options.known.glob("*.json"))] if options.known else []
    known = [made for made in known if made.get("nodes", 1) == 1]
    programs, weights = zip(*PROGRAMS)
    if known:
        programs, weights = (*programs, lambda rng: mutation(rng, known)), (*weights, MUTATIONS)
    (options.folder / "scenarios").mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        rng = random.Random(f"{options.seed}/{number}")
        made = rng.choices(programs, weights)[0](rng)
        name = f"{made['topic']}__{options.seed}_{number:04}"
        made = {"name": name, "description": "random", **made}
        (options.folder / "scenarios" / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
