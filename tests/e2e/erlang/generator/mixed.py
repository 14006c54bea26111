"""Random programs in which the topics meet: supervised machines, managers and servers that are suspended, named, called,
watched and stopped at the same time."""

from .words import STOPS, info, scenario, some, spawn, step

MACHINE = {"initial": "a", "states": {"a": {"go": {"next": "b", "add": 1}, "bang": {"crash": "boom"}}, "b": {"go": {"next": "a"}, "*": {"add": 2}}}}


def child(rng, id):
    behaviour = rng.choice(["counter", "counter", "statem", "echo", "event_manager"])
    made = {"id": id, "behaviour": behaviour, "restart": rng.choice(["permanent", "transient", "temporary"])}
    args = {"machine": MACHINE} if behaviour == "statem" else {}
    if rng.random() < 0.5:
        args["trap_exit"] = True
    if rng.random() < 0.4:
        args["name"] = rng.choice([f"n_{id}", f"global:g_{id}"])
    if rng.random() < 0.1:
        args["init"] = rng.choice([["ok", {"stop": "nope"}, "ok"], ["ok", "ignore"]])
    if rng.random() < 0.1:
        args.update(start_timeout=100, init_sleep=rng.choice([0, 300]))
    if args:
        made["args"] = args
    shutdown = some(rng, ["brutal_kill", 150, "infinity"], 0.5)
    return {**made, "shutdown": shutdown} if shutdown else made


def mixed(rng):
    """A supervisor of servers of all kinds, and strangers who call, link, suspend and stop them."""
    ids = ["w1", "w2", "w3"]
    flags = {"strategy": rng.choice(["one_for_one", "one_for_all", "rest_for_one"]), "intensity": rng.choice([1, 3, 6])}
    children = [child(rng, id) for id in ids]
    behaviour = {made["id"]: made["behaviour"] for made in children}
    steps = [spawn("r", "recorder"), spawn("p", "plain"), step("start_supervisor", id="s", children=children, **flags)]
    steps.append(spawn("o", "counter", spawn_monitor=True, from_=rng.choice("rp"), ref="mo"))
    for number in range(rng.randrange(8, 18)):
        id, stranger = rng.choice(ids), rng.choice("rp")
        kinds = [
            step(rng.choice(["sys_suspend", "sys_resume"]), to=id),
            step(rng.choice(["sys_suspend", "sys_resume"]), to=id),
            step("monitor", from_=stranger, to=id, ref=f"m{number}"),
            step("link", from_="r", to=id),
            step("stop", to=id, reason=rng.choice(STOPS), timeout=300),
            step("terminate_child", sup="s", child=id),
            step("restart_child", sup="s", child=id),
            step("kill", to=rng.choice([id, id, "o"])),
            step("exit_signal", to=id, reason=rng.choice(["normal", "shutdown", "bad"]), from_=some(rng, ["p", "r"], 0.6)),
            step("which_children", sup="s"),
            step("suspend", from_="p", to="o"), step("resume", from_="p", to="o"),
            step("call", to="o", msg="incr", timeout=100),
            step("priority", id=stranger, value=rng.choice(["low", "normal", "high"])),
            step("send_many", from_="p", to="r", count=3),
            step("alive_count", ids=[*ids, "o", "p"]),
            step("receive", id="p", match=rng.choice(["any", "DOWN"]), timeout=rng.choice([0, 30])),
            info(rng.choice([*ids, "s", "o", "p"]), "links", "trap_exit", "message_queue_len", "priority"),
            step("whereis", name=f"n_{id}"), step("global_whereis", name=f"g_{id}"),
        ]
        if behaviour[id] == "statem":
            kinds += [step("cast", to=id, msg=rng.choice(["go", "bang", "other"])), step("call", to=id, msg="get", timeout=100), step("get_state", to=id)] * 2
        elif behaviour[id] == "event_manager":
            kinds += [
                step("add_handler", mgr=id, handler="h", sup=some(rng, [True], 0.5), as_="r"), step("which_handlers", mgr=id) if rng.random() < 0.5 else step("is_alive", id=id),
                step("notify", mgr=id, event=rng.choice(["ping", ["h", "crash"], ["h", "remove"]])),
            ]
        elif behaviour[id] == "counter":
            kinds += [
                step("cast", to=id, msg=rng.choice(["crash", "incr", ["stop", rng.choice(STOPS)], "hibernate"])),
                step("call", to=id, msg=rng.choice(["get", "incr", ["stop_reply", "normal", "bye"]]), timeout=100, uncaught=some(rng, [True], 0.1), from_=some(rng, ["p"], 0.3)),
                step("get_state", to=id), step("set_state", to=id, value=40),
            ] * 2
        else:
            kinds.append(step("call", to=id, msg=["x", 1], timeout=100))
        steps.append(rng.choice(kinds))
    steps += [step("sys_resume", to=id) for id in ids] + [step("resume", from_="p", to="o"), step("sleep_ms", ms=400)]
    steps += [step("which_children", sup="s"), step("count_children", sup="s"), info("p", "messages")]
    return scenario("mixed", steps, unordered_logs=["r#1"])
