"""Scenarios made from known ones by small changes: another strategy, reason or restart type, a step more, less, or earlier."""

import copy

from .words import REASONS, RESTARTS, STRATEGIES, info, step

OTHERS = {
    "strategy": STRATEGIES,
    "restart": RESTARTS,
    "shutdown": ["brutal_kill", 100, 1000, "infinity"],
    "auto_shutdown": ["never", "any_significant", "all_significant"],
    "significant": [True, False],
    "trap_exit": [True, False],
    "intensity": [0, 1, 2, 5],
    "class": ["error", "exit", "throw"],
    "reason": REASONS,
    "init": ["ok", "ignore", {"stop": "nope"}, {"crash": "boom"}, {"exit": "bye"}, ["ok", {"stop": "nope"}, "ok"], ["ok", "ignore"]],
    "terminate_exit": ["oops", "normal", "shutdown"],
    "terminate_crash": ["oops", "normal", "shutdown"],
    "opts": [[], ["flush"], ["info"], ["flush", "info"]],
}
NEW = {
    "child": [("restart", RESTARTS), ("shutdown", ["brutal_kill", 100]), ("significant", [True])],
    "args": [("trap_exit", [True]), ("init", OTHERS["init"]), ("terminate_exit", ["oops"])],
}


def objects(value):
    """All objects within, outermost first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def started(steps):
    """The ids of the processes that a scenario may start."""
    known = []
    for made in objects(steps):
        if made.get("op") in ("spawn", "start_supervisor") or "behaviour" in made:
            known.append(made["id"])
        if "instance" in made:
            known.append(made["instance"])
    return sorted(set(known))


def raw(steps):
    return [made["id"] for made in steps if made["op"] == "spawn" and made["behaviour"] in ("plain", "recorder")]


def change(rng, steps):
    """Another value of a field that has one."""
    places = [(made, key) for made in objects(steps) for key in made if key in OTHERS and made.get("op") not in ("suspend", "resume", "add_handler")]
    if places:
        made, key = rng.choice(places)
        if key == "class":
            made.setdefault("reason", "bad")
        if key == "strategy" and any("instance" in other for other in steps):
            return
        made[key] = rng.choice([value for value in OTHERS[key] if value != made[key]])
        # a supervisor's init has no such end; it would be a bad return of a callback, and here nobody calls one
        if key == "init" and made.get("op") == "start_supervisor" and "stop" in made[key]:
            made[key] = "ignore"


def add_field(rng, steps):
    """A field that a child or its args do not have."""
    children = [made for made in objects(steps) if "behaviour" in made and made["behaviour"] != "event_manager"]
    if not children:
        return
    child = rng.choice(children)
    if "op" in child or rng.random() < 0.5:
        if child["behaviour"] == "supervisor":
            return
        field, values = rng.choice(NEW["args"])
        child.setdefault("args", {}).setdefault(field, rng.choice(values))
    else:
        field, values = rng.choice(NEW["child"])
        child.setdefault(field, rng.choice(values))


def drop(rng, steps):
    if len(steps) > 2:
        del steps[rng.randrange(1, len(steps))]


def repeat(rng, steps):
    at = rng.randrange(len(steps))
    if "async" not in steps[at] and "ref" not in steps[at]:
        steps.insert(at + 1, copy.deepcopy(steps[at]))


def swap(rng, steps):
    if len(steps) > 2:
        at = rng.randrange(1, len(steps) - 1)
        if "async" not in steps[at] and "async" not in steps[at + 1]:
            steps[at], steps[at + 1] = steps[at + 1], steps[at]


def insert(rng, steps):
    """A link, monitor, signal or look that was not there."""
    ids, actors = started(steps), raw(steps)
    if not ids:
        return
    to, actor = rng.choice(ids), rng.choice(actors) if actors else None
    new = [step("kill", to=to), step("exit_signal", to=to, reason=rng.choice(REASONS), from_=actor), info(to, "links", "trap_exit")]
    if actor:
        new += [step("link", from_=actor, to=to), step("monitor", from_=actor, to=to, ref=f"new{len(steps)}")]
        new += [step("unlink", from_=actor, to=to), step("trap_exit", id=actor, value=rng.random() < 0.5)]
    steps.insert(rng.randrange(1, len(steps) + 1), rng.choice(new))


def mutation(rng, known):
    """A copy of one of the known scenarios with one to three changes."""
    made = copy.deepcopy(rng.choice(known))
    for _ in range(rng.choice([1, 1, 2, 3])):
        rng.choice([change, change, change, add_field, drop, repeat, swap, insert, insert])(rng, made["steps"])
    # a nested supervisor that refuses its own children is told of by OTP alone: a node of ours refuses the whole tree
    for parent in objects(made["steps"]):
        for child in parent.get("children", []) if "behaviour" in parent else []:
            child.pop("significant", None) if child.get("restart", "permanent") == "permanent" else None
    supervisors = {made["id"] for made in objects(made["steps"]) if "children" in made}
    if any(made["op"] in ("kill", "exit_signal") and made["to"] in supervisors for made in made["steps"]):
        made.pop("lifecycle_order", None)
    logs = {f"{id}#{number}" for id in started(made["steps"]) for number in (1, 2, 3)}
    kept = ("topic", "steps", "lifecycle_order", "ignore", "settle_ms")
    return {**{key: made[key] for key in kept if key in made}, "unordered_logs": sorted(logs), "description": f"from {made['name']}"}
