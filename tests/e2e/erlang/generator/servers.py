"""Random programs for gen_server, gen_statem and gen_event, sys among them."""

from .words import STOPS, info, scenario, some, spawn, step

EVENTS = ["go", "back", "later", "tick", "same"]


def request(rng):
    """What a counter is asked, and lives on after mostly."""
    return rng.choice([
        "get", "get", "incr", ["add", 5], ["echo", ["x", 1]], ["reply_later", 30, "late"], ["reply_then_sleep", 40, "soon"],
        ["continue", rng.choice([["add", 10], "nothing", ["stop", "done"], ["crash", "boom"]])],
        "hibernate", ["whatever", 1], ["call", {"pid": rng.choice("cd")}, rng.choice(["get", "incr", ["sleep", 100]]), 50],
        ["timeout", 200], "noreply", ["sleep", 30],
    ])


def ending_request(rng):
    return rng.choice([
        ["stop", rng.choice(STOPS)], ["stop_reply", rng.choice(STOPS), "bye"], "crash", ["crash", "boom"],
        ["exit", rng.choice(STOPS)], ["throw", "ball"], "bad_return",
    ])


def gen_server(rng):
    """Calls and casts of all kinds, to a server that may be suspended, watched and stopped."""
    made = {}
    if rng.random() < 0.5:
        made["trap_exit"] = True
    if rng.random() < 0.2:
        made[rng.choice(["terminate_exit", "terminate_crash"])] = rng.choice(["oops", "normal", "shutdown"])
    if rng.random() < 0.1:
        made["continue"] = rng.choice([["add", 3], ["stop", "early"], ["crash", "boom"], "nothing"])
    elif rng.random() < 0.1:
        made["timeout"] = 200
    if rng.random() < 0.2:
        made["initial"] = 7
    steps = [spawn("r", "recorder"), spawn("p", "plain")]
    steps.append(spawn("c", "counter", args=made or None, parent=some(rng, ["p", "r"], 0.3), name=some(rng, ["foo"], 0.3)))
    steps += [spawn("d", "counter"), step(rng.choice(["monitor", "link"]), from_="r", to="c", ref="m1")]
    waited = 0
    for _ in range(rng.randrange(5, 14)):
        kind = rng.randrange(12)
        message = request(rng) if rng.random() < 0.8 else ending_request(rng)
        if kind <= 4:
            steps.append(step("call", to=rng.choice(["c", "c", "name:foo"]), msg=message, timeout=150, from_=some(rng, ["p"], 0.2)))
        elif kind <= 6:
            if message in ("noreply", "get") or message[0] in ("echo", "call", "reply_later", "reply_then_sleep"):
                message = "incr"
            steps.append(step("cast", to="c", msg=message))
        elif kind == 7:
            steps.append(step("send", to="c", msg=rng.choice(["hello", ["tag", 1]]), from_=some(rng, ["p"], 0.3)))
        elif kind == 8:
            steps.append(rng.choice([step("get_state", to="c"), step("set_state", to="c", value=rng.randrange(50))]))
        elif kind == 9:
            steps.append(step(rng.choice(["sys_suspend", "sys_resume"]), to="c"))
        elif kind == 10:
            steps.append(step("exit_signal", to="c", reason=rng.choice(["normal", "shutdown", "bad"]), from_=some(rng, ["p"], 0.7)))
        else:
            waited += 1
            steps.append(step("call", to="c", msg=["sleep", 100], timeout=400, async_=f"q{waited}"))
            steps.append(rng.choice([step("kill", to="c"), step("cast", to="c", msg=["stop", "done"]), step("is_alive", id="c")]))
            steps.append(step("await", async_=f"q{waited}"))
    steps += [step("sleep_ms", ms=300), step("sys_resume", to="c"), info("c", "message_queue_len", "hibernating", "links")]
    if rng.random() < 0.5:
        steps.append(step("stop", to=rng.choice(["c", "name:foo"]), reason=some(rng, STOPS, 0.7), timeout=300))
    return scenario("gen_server", steps, unordered_logs=["r#1"])


def stops(rng):
    """How servers of each kind end when they are stopped: the reason, who hears, and what the stopper is told."""
    behaviour = rng.choice(["counter", "statem", "echo", "event_manager"])
    made = {}
    if behaviour == "statem":
        made["machine"] = {"initial": "a", "states": {"a": {"go": {"next": "b"}}, "b": {}}}
    if behaviour != "event_manager":
        if rng.random() < 0.5:
            made["trap_exit"] = True
        if rng.random() < 0.4:
            made[rng.choice(["terminate_exit", "terminate_crash"])] = rng.choice(["oops", "normal", "shutdown", ["shutdown", "x"]])
        if rng.random() < 0.2:
            made["terminate_sleep"] = rng.choice([40, 150])
    steps = [spawn("r", "recorder"), spawn("q", "plain"), spawn("par", rng.choice(["plain", "recorder"]))]
    steps.append(spawn("c", behaviour, args=made or None, parent=some(rng, ["par"], 0.6), name=some(rng, ["foo", "global:g"], 0.3)))
    steps.append(step("monitor", from_="r", to="c", ref="m1"))
    if rng.random() < 0.4:
        steps.append(step("link", from_=rng.choice("rq"), to="c"))
    if rng.random() < 0.2:
        steps.append(step("sys_suspend", to="c"))
    reason = rng.choice(STOPS + ["bad"])
    steps.append(rng.choice([
        step("stop", to="c", reason=reason, timeout=some(rng, [100, 1000], 0.4)),
        step("stop", to=rng.choice(["name:foo", "global:g"]), reason=reason, timeout=1000),
        step("exit_signal", to="c", reason=reason, from_=rng.choice(["par", "q"])),
        step("raise", id="par", class_=rng.choice(["exit", "error"]), reason=reason),
        step("kill", to="par"),
        step("exit_signal", to="par", reason=reason, from_="q"),
    ]))
    steps += [step("sleep_ms", ms=250), step("is_alive", id="c"), step("is_alive", id="par"), step("is_alive", id="q")]
    steps.append(step("stop", to="c", timeout=500))
    return scenario("stops", steps, unordered_logs=["r#1", "par#1"])


def action(rng, replies):
    """An action of a machine. Timeouts are far apart, so that their order does not hang on the machine."""
    kinds = [
        "postpone", ["next_event", "inner"], ["next_cast", rng.choice(EVENTS)], ["state_timeout", 200, "tick"],
        ["state_timeout", "cancel"], ["state_timeout", "update", "new"], ["state_timeout", 0, "now"],
        ["state_timeout", "infinity", "never"], ["timeout", 350, "idle"], ["timeout", 0, "at_once"],
        ["named_timeout", "n", 500, "named"], ["named_timeout", "n", "cancel"], "hibernate",
    ]
    return rng.choice(kinds + ([["reply", "yes"]] * 6 if replies else []))


def row(rng, event, states):
    made = {}
    if rng.random() < 0.5:
        made["next"] = rng.choice([*states, "@repeat"])
    if rng.random() < 0.3:
        made["add"] = 1
    actions = [action(rng, event == "ask") for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    if event in ("inner", "tick", "now", "at_once"):
        # what makes itself happen again would never end
        actions = [made for made in actions if made[0] not in ("next_event", "next_cast", "state_timeout", "timeout")]
        made.pop("next", None) if made.get("next") == "@repeat" else None
    if actions:
        made["actions"] = actions
    if rng.random() < 0.04:
        made[rng.choice(["stop", "crash", "exit"])] = rng.choice(["done", "normal", "shutdown"])
    return made


def machine(rng):
    states = ["a", "b", "c"][: rng.randrange(2, 4)]
    made = {"initial": "a", "enter_log": rng.random() < 0.6, "states": {}}
    for state in states:
        events = rng.sample([*EVENTS, "ask", "inner", "now", "at_once", "idle", "named"], rng.randrange(2, 6))
        rows = {event: row(rng, event, states) for event in events}
        # a chain of inserted casts must come to an end
        for event in EVENTS:
            if event in rows:
                rows[event]["actions"] = [a for a in rows[event].get("actions", []) if a[0] != "next_cast" or a[1] not in rows]
        if rng.random() < 0.15:
            rows["*"] = {"add": 1}
        if made["enter_log"] and rng.random() < 0.4:
            rows["enter"] = [rng.choice([["state_timeout", 200, "tick"], ["timeout", 350, "idle"], ["named_timeout", "n", 500, "named"]])]
        made["states"][state] = rows
    if rng.random() < 0.3:
        made["init_actions"] = [rng.choice([["next_event", "inner"], ["state_timeout", 200, "tick"], ["timeout", 0, "at_once"]])]
    return made


def gen_statem(rng):
    """A random machine with random events."""
    args = {"machine": machine(rng)}
    if rng.random() < 0.3:
        args["trap_exit"] = True
    steps = [spawn("q", "plain"), spawn("m", "statem", args=args)]
    for _ in range(rng.randrange(2, 5)):
        for _ in range(rng.randrange(1, 4)):
            event = rng.choice(EVENTS)
            steps.append(rng.choice([
                step("cast", to="m", msg=event), step("cast", to="m", msg=[event, 1]),
                step("send", to="m", msg=event), step("call", to="m", msg="ask", timeout=800), step("call", to="m", msg="get", timeout=300),
                step("exit_signal", to="m", reason=rng.choice(["bad", "normal"]), from_="q") if args.get("trap_exit") else step("cast", to="m", msg=event),
            ]))
        steps.append(step("sleep_ms", ms=800) if rng.random() < 0.5 else step("call", to="m", msg="get", timeout=300))
    steps += [step("sleep_ms", ms=800), step("call", to="m", msg="get", timeout=300), step("get_state", to="m")]
    return scenario("gen_statem", steps)


def gen_event(rng):
    """A manager with handlers that come, fail, are swapped and lose their owners."""
    handlers = ["h1", "h2", "h3"]
    steps = [spawn("p", "plain"), spawn("r", "recorder"), spawn("e", "event_manager", name=some(rng, ["bus"], 0.3), parent=some(rng, ["r"], 0.2))]
    for _ in range(rng.randrange(8, 18)):
        handler, other = rng.choice(handlers), rng.choice(handlers)
        failing = [[handler, "crash"], [handler, "remove"], [handler, "bad_return"], [handler, "exit", "bye"], [handler, "swap", other]]
        event = rng.choice(["ping", ["x", 1], *failing])
        owner = rng.random() < 0.5
        init = some(rng, [{"error": "nope"}, {"crash": "boom"}], 0.15)
        call = rng.choice(["count", "count", "crash", "remove", "bad_return", ["echo", 1]])
        steps.append(rng.choice([
            step("add_handler", mgr="e", handler=handler, sup=owner or None, as_=some(rng, ["p", "r"], 0.8 if owner else 0.3), init=init),
            step("add_handler", mgr="e", handler=handler, sup=owner or None, as_="r" if owner else None),
            step("delete_handler", mgr="e", handler=handler, arg=some(rng, ["why"], 0.4)),
            step("swap_handler", mgr="e", handler=handler, to_handler=other, as_=some(rng, ["r"], 0.2)),
            step("which_handlers", mgr="e"),
            step(rng.choice(["notify", "sync_notify"]), mgr="e", event=event),
            step(rng.choice(["notify", "sync_notify"]), mgr="e", event=event),
            step("event_call", mgr="e", handler=handler, msg=call),
            step("send", to="e", msg="raw"),
            step(rng.choice(["raise", "raise", "exit_signal"]), id=rng.choice("prr"), class_="exit", reason=rng.choice(["bad", "normal", "shutdown"]))
            if rng.random() < 0.4 else step("which_handlers", mgr="e"),
        ]))
    steps = [dict(step_, to=step_.pop("id")) if step_["op"] == "exit_signal" else step_ for step_ in steps]
    steps.append(step("which_handlers", mgr="e"))
    if rng.random() < 0.5:
        steps.append(rng.choice([step("stop", to="e", reason="shutdown"), step("kill", to="e"), step("exit_signal", to="e", reason="bad")]))
    steps.append(step("is_alive", id="e"))
    return scenario("gen_event", steps, unordered_logs=["r#1"])
