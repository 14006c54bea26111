"""What random scenarios are made of: reasons, names, and the steps that several topics share."""

REASONS = ["normal", "shutdown", ["shutdown", "x"], "bad", "other", "kill", "killed", "noproc", ["a", ["b", 1]]]
STOPS = ["normal", "shutdown", ["shutdown", "x"], "other", ["shutdown", ["x", 2]]]
NAMES = ["foo", "bar"]
INFO = ["links", "monitors", "monitored_by", "trap_exit", "registered_name", "message_queue_len"]
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]
RESTARTS = ["permanent", "transient", "temporary"]


def step(op, **fields):
    """A step; a field that is None is left out."""
    return {"op": op, **{key.rstrip("_"): value for key, value in fields.items() if value is not None}}


def spawn(id, behaviour, **fields):
    return step("spawn", id=id, behaviour=behaviour, **fields)


def info(id, *keys):
    return step("process_info", id=id, keys=list(keys) or INFO)


def some(rng, values, chance):
    """One of the values, or None."""
    return rng.choice(values) if rng.random() < chance else None


def scenario(topic, steps, **fields):
    return {"topic": topic, "steps": steps, **{key: value for key, value in fields.items() if value is not None}}
