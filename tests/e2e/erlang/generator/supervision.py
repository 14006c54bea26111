"""Random supervision: trees, restart types, shutdowns, failing starts, significant children, management."""

import copy

from .words import RESTARTS, STOPS, STRATEGIES, info, scenario, some, spawn, step


def outcomes(rng):
    """How the attempts of a child to start end: the first well, mostly."""
    bad = [{"stop": "nope"}, "ignore", {"crash": "boom"}, {"exit": "bye"}, {"stop": "normal"}, {"stop": "shutdown"}]
    later = [rng.choice(["ok", "ok", rng.choice(bad)]) for _ in range(rng.randrange(1, 4))]
    return ["ok", *later] if rng.random() < 0.9 else [rng.choice(bad), *later]


def args(rng):
    made = {}
    if rng.random() < 0.5:
        made["trap_exit"] = True
    if rng.random() < 0.25:
        made["init"] = outcomes(rng)
    if rng.random() < 0.1:
        made[rng.choice(["terminate_crash", "terminate_exit"])] = rng.choice(["oops", "normal", "shutdown"])
    if rng.random() < 0.1:
        made["terminate_sleep"] = rng.choice([50, 250])
    return made


def worker(rng, id, significant=False):
    child = {"id": id, "behaviour": rng.choice(["counter"] * 5 + ["plain", "recorder", "echo"])}
    child["restart"] = rng.choice(RESTARTS[1:] if significant else RESTARTS)
    made = args(rng)
    if made:
        child["args"] = made
    # a recorder, and a server that sleeps too long, lives until it is killed
    shutdown = rng.choice([None, "brutal_kill", 100, 100, "infinity"])
    if child["behaviour"] == "recorder" and shutdown in (None, "infinity"):
        shutdown = 100
    if shutdown is not None:
        child["shutdown"] = shutdown
    if significant:
        child["significant"] = True
    return child


def flags(rng):
    auto = rng.choice(["never"] * 3 + ["any_significant", "all_significant"])
    made = {"strategy": rng.choice(STRATEGIES), "intensity": rng.choice([0, 1, 1, 2, 3, 6]), "period": 60}
    return {**made, "auto_shutdown": auto} if auto != "never" else made


def supervisor(rng, id, depth, ids):
    """A supervisor with its children; their ids are added to `ids`, with `[supervisor, child]` for each."""
    made = {"id": id, "behaviour": "supervisor", **flags(rng)}
    made["children"] = []
    for number in range(rng.randrange(1, 4)):
        significant = "auto_shutdown" in made and rng.random() < 0.6
        name = f"{id}{number + 1}"
        if depth > 0 and rng.random() < 0.45:
            child = supervisor(rng, name, depth - 1, ids)
            restart = some(rng, RESTARTS[1:] if significant else RESTARTS, 1 if significant else 0.5)
            if restart:
                child["restart"] = restart
            if significant:
                child["significant"] = True
            if rng.random() < 0.15:
                child["shutdown"] = rng.choice(["brutal_kill", 400])
        else:
            child = worker(rng, name, significant)
        made["children"].append(child)
        ids.append((id, name, child["behaviour"]))
    return made


def walk(made):
    yield made
    for child in made.get("children", []):
        yield from walk(child)


class Management:
    """Steps on a tree."""

    def __init__(self, rng, tree, ids):
        self.rng, self.ids = rng, ids
        self.specs = {made["id"]: made for made in walk(tree)}
        self.supervisors = [id for id, made in self.specs.items() if made["behaviour"] == "supervisor"]
        self.workers = [id for id, made in self.specs.items() if made["behaviour"] != "supervisor"]
        self.counters = [id for id, made in self.specs.items() if made["behaviour"] == "counter"]
        self.killed_supervisor = False

    def step(self):
        kinds = [self.fail] * 5 + [self.signal] * 3 + [self.manage] * 5 + [self.look] * 2 + [self.stop_supervisor]
        return self.rng.choice(kinds)()

    def fail(self):
        if not self.counters:
            return self.signal()
        stops = [["stop", reason] for reason in STOPS]
        messages = ["crash", "bad_return", ["exit", "bye"], ["exit", "normal"], ["exit", "shutdown"], ["throw", "ball"], "incr"]
        return step("cast", to=self.rng.choice(self.counters), msg=self.rng.choice(stops + stops + messages))

    def signal(self):
        to = self.rng.choice(self.workers or self.supervisors)
        if self.rng.random() < 0.5:
            return step("kill", to=to)
        return step("exit_signal", to=to, reason=self.rng.choice(["normal", "shutdown", ["shutdown", "x"], "bad", "kill"]))

    def stop_supervisor(self):
        to = self.rng.choice(self.supervisors)
        kind = self.rng.randrange(4)
        if kind == 0:
            self.killed_supervisor = True
            return step("kill", to=to)
        if kind == 1:
            return step("stop", to=to, reason=self.rng.choice(STOPS))
        return step("exit_signal", to=to, reason=self.rng.choice(["shutdown", "normal", "bad"]))

    def manage(self):
        sup, child, _ = self.rng.choice(self.ids)
        if self.rng.random() < 0.1:
            child = "nope"
        if self.rng.random() < 0.1:
            sup = self.rng.choice(self.supervisors)
        kind = self.rng.choice(["terminate_child", "terminate_child", "restart_child", "restart_child", "delete_child", "start_child", "get_childspec"])
        if kind != "start_child":
            return step(kind, sup=sup, child=child)
        spec = self.specs.get(child) if self.rng.random() < 0.7 else None
        spec = copy.deepcopy(spec) or worker(self.rng, f"{sup}9")
        if spec["behaviour"] != "supervisor" and self.rng.random() < 0.15:
            spec.update(self.rng.choice([{"restart": "sometimes"}, {"shutdown": "whenever"}, {"type": "boss"}, {"significant": True}]))
        return step(kind, sup=sup, child=spec)

    def look(self):
        kind = self.rng.choice(["which_children", "count_children"])
        return step(kind, sup=self.rng.choice(self.supervisors))


def tree(rng):
    """A tree of up to three levels, managed and failing."""
    ids = []
    made = supervisor(rng, "s", rng.choice([0, 0, 1, 2]), ids)
    start = {key: value for key, value in made.items() if key != "behaviour"}
    steps = [step("start_supervisor", **start)]
    watched = rng.random() < 0.5
    if watched:
        steps = [spawn("r", "recorder"), *steps]
        steps += [step("monitor", from_="r", to=id, ref=f"m{id}") for _, id, _ in ids[:3]]
        steps.append(step("link", from_="r", to=rng.choice(ids)[1]))
    management = Management(rng, made, ids)
    for _ in range(rng.randrange(4, 14)):
        steps.append(management.step())
        if rng.random() < 0.15:
            steps.append(step("sleep_ms", ms=60))
    steps.append(step("sleep_ms", ms=400))
    steps += [step("which_children", sup=id) for id in management.supervisors]
    steps.append(info("s", "links", "trap_exit", "message_queue_len"))
    # those whom a killed supervisor leaves behind end in no order
    kills = management.killed_supervisor or any(
        made["behaviour"] == "supervisor" and made.get("shutdown") == "brutal_kill" for made in walk(made))
    slow = any("terminate_sleep" in made.get("args", {}) for made in walk(made))
    total = "total" if not kills and not slow and not watched and rng.random() < 0.7 else None
    return scenario("supervision", steps, lifecycle_order=total, unordered_logs=["r#1"] if watched else None)


def simple_one_for_one(rng):
    """Dynamic children of a template."""
    template = worker(rng, "tpl")
    made = flags(rng)
    made["strategy"] = "simple_one_for_one"
    if "auto_shutdown" in made and template["restart"] != "permanent" and rng.random() < 0.7:
        template["significant"] = True
    steps = [step("start_supervisor", id="s", children=[template], **made)]
    instances = ["i1", "i2", "i3"]
    for _ in range(rng.randrange(6, 16)):
        id = rng.choice(instances)
        kind = rng.randrange(12)
        if kind <= 3:
            steps.append(step("start_child", sup="s", instance=id))
        elif kind == 4:
            steps.append(step("kill", to=id))
        elif kind == 5:
            steps.append(step("exit_signal", to=id, reason=rng.choice(["normal", "shutdown", "bad"])))
        elif kind == 6 and template["behaviour"] == "counter":
            steps.append(step("cast", to=id, msg=rng.choice([["stop", rng.choice(STOPS)], "crash"])))
        elif kind == 7:
            steps.append(step("terminate_child", sup="s", child_pid=id))
        elif kind == 8:
            steps.append(rng.choice([
                step("terminate_child", sup="s", child=id), step("restart_child", sup="s", child=id),
                step("restart_child", sup="s", child_pid=id), step("delete_child", sup="s", child="tpl"),
                step("get_childspec", sup="s", child="tpl"), step("get_childspec", sup="s", child_pid=id),
            ]))
        else:
            steps.append(step("count_children", sup="s"))
    steps.append(step("sleep_ms", ms=400))
    if rng.random() < 0.4:
        steps += [step("exit_signal", to="s", reason="shutdown"), step("sleep_ms", ms=400)]
    # the children stand in a map by pid, which nobody orders
    return scenario("simple_one_for_one", steps, ignore=["final/supervisors/s/which_children"])


def failing_start(rng):
    """A supervisor that may not get through its start, and a parent that hears of it."""
    ids = []
    made = supervisor(rng, "s", rng.choice([0, 1]), ids)
    for child in walk(made):
        if child["behaviour"] not in ("supervisor",) and rng.random() < 0.4:
            child.setdefault("args", {})["init"] = rng.choice([{"stop": "nope"}, "ignore", {"crash": "boom"}, {"exit": "bye"}, ["ok", "ignore"], ["ignore", "ok"]])
    steps = [spawn("par", rng.choice(["plain", "recorder"]))]
    start = {key: value for key, value in made.items() if key != "behaviour"}
    if rng.random() < 0.2:
        start["init"] = rng.choice(["ignore", {"crash": "boom"}, {"exit": "bye"}])
    steps.append(step("start_supervisor", parent=some(rng, ["par"], 0.7), **start))
    steps += [step("is_alive", id="par"), step("which_children", sup="s"), step("count_children", sup="s")]
    for _, child, behaviour in ids:
        steps.append(step("kill", to=child) if behaviour != "supervisor" else step("which_children", sup=child))
    steps += [step("sleep_ms", ms=100), step("is_alive", id="s")]
    return scenario("failing_start", steps)


def intensity(rng):
    """Failures within and beyond the period."""
    children = [worker(rng, f"w{number}") for number in range(1, rng.randrange(2, 4))]
    for child in children:
        child["restart"] = "permanent"
        child.pop("args", None)
    steps = [step("start_supervisor", id="s", strategy=rng.choice(STRATEGIES), intensity=rng.randrange(1, 4), period=1, children=children)]
    for _ in range(rng.randrange(2, 4)):
        steps += [step("kill", to=rng.choice(children)["id"]) for _ in range(rng.randrange(1, 3))]
        steps += [step("sleep_ms", ms=2300), step("is_alive", id="s")]
    return scenario("intensity", steps)
