"""Random programs of links, monitors, exit signals, names, groups, timers, suspension and mailboxes."""

from .words import INFO, NAMES, REASONS, info, scenario, some, spawn, step

PLAIN = ["p1", "p2", "p3", "p4"]
TRAPPING = ["t1", "t2"]
SERVERS = ["c1", "c2"]
ALL = PLAIN + TRAPPING + SERVERS
CLASSES = ["error", "exit", "throw", "return"]
LOGS = [f"{id}#{number}" for id in TRAPPING + SERVERS for number in (1, 2, 3)]


def beginning(rng):
    steps = [spawn(id, "plain") for id in PLAIN]
    steps += [spawn(id, "recorder") for id in TRAPPING]
    steps += [spawn("c1", "counter", args={"trap_exit": True}), spawn("c2", "counter")]
    rng.shuffle(steps)
    return steps


def ending():
    return [info(id) for id in ALL]


def target(rng):
    return f"name:{rng.choice(NAMES)}" if rng.random() < 0.15 else rng.choice(ALL)


class Signals:
    """Steps between the processes; knows which references there are."""

    def __init__(self, rng):
        self.rng = rng
        self.monitors = []
        self.timers = []
        self.spawned = 0

    def reference(self, known, letter):
        known.append(f"{letter}{len(known) + 1}")
        return known[-1]

    def step(self):
        kinds = [self.link, self.link, self.unlink, self.monitor, self.monitor, self.demonitor, self.exit, self.exit]
        kinds += [self.kill, self.raise_, self.raise_, self.trap, self.name, self.name, self.send, self.look]
        kinds += [self.start, self.take, self.hibernate, self.timer, self.cancel, self.call]
        return self.rng.choice(kinds)()

    def actor(self):
        return self.rng.choice(ALL)

    def link(self):
        return step("link", from_=self.actor(), to=self.rng.choice(ALL))

    def unlink(self):
        return step("unlink", from_=self.actor(), to=self.rng.choice(ALL))

    def monitor(self):
        return step("monitor", from_=self.actor(), to=target(self.rng), ref=self.reference(self.monitors, "m"))

    def demonitor(self):
        if not self.monitors:
            return self.monitor()
        opts = self.rng.choice([None, ["flush"], ["info"], ["flush", "info"]])
        return step("demonitor", from_=self.actor(), monitor=self.rng.choice(self.monitors), opts=opts)

    def exit(self):
        to = self.rng.choice(ALL)
        actor = to if self.rng.random() < 0.15 else some(self.rng, ALL, 0.85)
        return step("exit_signal", to=to, reason=self.rng.choice(REASONS), from_=actor)

    def kill(self):
        return step("kill", to=self.rng.choice(ALL), from_=some(self.rng, ALL, 0.5))

    def raise_(self):
        # what a throw is in a server is up to the server's messages
        id = self.rng.choice(ALL)
        classes = CLASSES if id not in SERVERS else ["error", "exit"]
        return step("raise", id=id, class_=self.rng.choice(classes), reason=self.rng.choice(REASONS))

    def trap(self):
        return step("trap_exit", id=self.actor(), value=self.rng.random() < 0.5)

    def name(self):
        name = self.rng.choice(NAMES)
        kind = self.rng.choice(["register", "register", "unregister", "whereis"])
        return step(kind, name=name, id=self.rng.choice(ALL) if kind == "register" else None)

    def send(self):
        return step("send", to=target(self.rng), msg=["n", self.rng.randrange(9)], from_=some(self.rng, ALL, 0.5))

    def look(self):
        if self.rng.random() < 0.4:
            return step("is_alive", id=self.rng.choice(ALL))
        return info(self.rng.choice(ALL), *self.rng.sample(INFO, 3))

    def start(self):
        self.spawned += 1
        init = some(self.rng, ["ignore", {"stop": "nope"}, {"stop": "normal"}, {"crash": "boom"}, {"exit": "bye"}], 0.5)
        behaviour = self.rng.choice(["plain", "counter", "recorder", "echo"])
        args = {"init": init} if init else None
        name = some(self.rng, NAMES, 0.2)
        return spawn(f"x{self.spawned}", behaviour, parent=some(self.rng, ALL, 0.8), args=args, name=name)

    def take(self):
        match = self.rng.choice(["any", "n", "DOWN", "EXIT"])
        return step("receive", id=self.rng.choice(PLAIN), match=match)

    def hibernate(self):
        return step("hibernate", id=self.rng.choice(PLAIN + TRAPPING))

    def timer(self):
        kind = self.rng.choice(["send_after", "start_timer"])
        reference = self.reference(self.timers, "t")
        return step(kind, to=target(self.rng), ms=0, msg="tick", ref=reference, from_=some(self.rng, ALL, 0.5))

    def cancel(self):
        if not self.timers:
            return self.timer()
        return step("cancel_timer", timer=self.rng.choice(self.timers), from_=some(self.rng, ALL, 0.5))

    def call(self):
        return step("call", to=self.rng.choice(TRAPPING + SERVERS), msg="ping", from_=some(self.rng, ALL, 0.6))


def signals(rng):
    """Everything that passes between processes. One death may tell a process twice, in an order that is nobody's."""
    maker = Signals(rng)
    steps = beginning(rng) + [maker.step() for _ in range(rng.randrange(12, 26))] + ending()
    return scenario("signals", steps, unordered_logs=LOGS)


def suspension(rng):
    """Processes that are suspended, once or twice, while signals and messages come."""
    steps = [spawn("a", "plain"), spawn("b", "plain"), spawn("q", "plain")]
    steps += [spawn("r", "recorder"), spawn("p", rng.choice(["plain", "recorder", "counter"]))]
    steps.append(step("monitor", from_="r", to="p", ref="m1"))
    if rng.random() < 0.5:
        steps.append(step("link", from_="q", to="p"))
    if rng.random() < 0.3:
        steps.append(step("register", name="foo", id="p"))
    opts = ["unless_suspending"]
    for _ in range(rng.randrange(6, 14)):
        steps.append(rng.choice([
            step("suspend", from_=rng.choice("ab"), to="p", opts=some(rng, [opts], 0.3)),
            step("suspend", from_=rng.choice("ab"), to="p", opts=some(rng, [opts], 0.3)),
            step("resume", from_=rng.choice("ab"), to="p"),
            step("send", to="p", msg=["n", rng.randrange(9)], from_=some(rng, ["q"], 0.5)),
            step("exit_signal", to="p", reason=rng.choice(["normal", "normal", "shutdown", "bad"]), from_=some(rng, ["q"], 0.7)),
            step("kill", to=rng.choice(["a", "b", "q", "p", "nobody"])),
            step("unlink", from_="q", to="p"),
            info("p", "status", "message_queue_len"),
            step("is_alive", id="p"),
        ]))
    steps += [step("sleep_ms", ms=30), info("p", "status", "message_queue_len", "links", "monitored_by", "monitors")]
    return scenario("suspension", steps)


def names(rng):
    """Local and global names, of the living, the dead and the restarted."""
    ids = ["a", "b", "r", "w"]
    steps = [spawn("a", "plain"), spawn("b", "plain", name=some(rng, ["foo"], 0.4)), spawn("r", "recorder")]
    child = {"id": "w", "behaviour": "counter", "args": {"name": rng.choice(["foo", "global:g", "w"])}}
    steps.append(step("start_supervisor", id="s", children=[child], intensity=9, name=some(rng, ["bar", "global:h"], 0.3)))
    every = ["foo", "bar", "w", "g", "h", "nobody"]
    for _ in range(rng.randrange(10, 22)):
        name, id = rng.choice(every), rng.choice(ids)
        anyone = rng.choice([f"name:{name}", f"global:{name}"])
        steps.append(rng.choice([
            step("register", name=rng.choice([name, name, "undefined"]), id=id) if name != "bar" else step("whereis", name=name),
            step("unregister", name=name, as_=some(rng, ["a", "b"], 0.3)),
            step("whereis", name=name),
            step("global_register", name=name, id=id, resolve=some(rng, ["random_notify_name", "notify_all_name"], 0.2)),
            step("global_re_register", name=name, id="r"),
            step("global_unregister", name=name),
            step("global_whereis", name=name),
            step("global_names"),
            step("send", to=anyone, msg="hi", from_=some(rng, ["a", "b"], 0.4)),
            # a cast crashes OTP's supervisor
            step("cast", to=anyone, msg="incr") if name not in ("bar", "h") else step("whereis", name=name),
            step("kill", to=rng.choice(["a", "b", "w", "w"])),
            spawn(rng.choice(["a", "b"]), rng.choice(["plain", "counter"]), name=rng.choice([name, f"global:{name}"])),
            step("monitor", from_="r", to=rng.choice([f"name:{name}", id]), ref=f"m{len(steps)}"),
        ]))
    steps += [step("whereis", name=name) for name in every] + [step("global_names")]
    return scenario("registry", steps)


def groups(rng):
    """Process groups: joined twice, left in part, watched, and left by death."""
    alive = ["a", "b", "c"]
    steps = [spawn(id, "plain") for id in alive] + [spawn("r", "recorder")]
    # the members that a monitor is answered have an order of OTP's own; there are none yet
    watches = [f"w{number}" for number in range(rng.randrange(3))]
    steps += [step("pg_monitor", group=rng.choice(["g", "h", ["room", 1]]), as_="r", ref=watch) for watch in watches]
    for _ in range(rng.randrange(10, 20)):
        group = rng.choice(["g", "h", ["room", 1]])
        # a node of ours refuses the dead, whom OTP lets in and takes out again
        ids = [rng.choice(alive) for _ in range(rng.randrange(1, 4))]
        kind = rng.randrange(1, 9)
        if kind == 1 and watches:
            steps.append(step("pg_demonitor", as_="r", monitor=rng.choice(watches)))
        elif kind <= 3:
            steps.append(step("pg_join", group=group, id=ids[0], as_=some(rng, ["a", "b"], 0.2)))
        elif kind == 4:
            steps.append(step("pg_join", group=group, ids=ids))
        elif kind == 5:
            # who watches is told by OTP of all that were to leave, members or not
            steps.append(step("pg_leave", group=group, ids=ids[:1] if watches else ids))
        elif kind == 6:
            steps.append(step("pg_leave", group=group, id=ids[0]))
        elif kind == 7:
            steps.append(rng.choice([step("pg_members", group=group), step("pg_local_members", group=group), step("pg_groups")]))
        elif rng.random() < 0.4 and len(alive) > 1:
            alive.remove(ids[0])
            steps.append(step("kill", to=ids[0]))
        else:
            steps.append(step("pg_members", group=group))
    steps += [step("pg_groups")] + [step("pg_members", group=group) for group in ("g", "h", ["room", 1])]
    # one leave of several, or a death in several groups, is told in an order that is nobody's
    return scenario("pg", steps, unordered_logs=["r#1"])


def timers(rng):
    """Timers that are read, cancelled by whoever, or outlived by nobody."""
    steps = [spawn("r", "recorder"), spawn("p", "plain"), spawn("a", "plain"), step("register", name="foo", id="r")]
    made = []
    for _ in range(rng.randrange(3, 6)):
        made.append(f"t{len(made)}")
        kind, ms = rng.choice(["send_after", "start_timer"]), rng.choice([0, 150, 300])
        to = rng.choice(["r", "p", "name:foo", "name:nobody"])
        steps.append(step(kind, to=to, ms=ms, msg=made[-1], ref=made[-1], from_=some(rng, ["a"], 0.4)))
        if rng.random() < 0.5:
            looked = rng.choice(made)
            kind = rng.choice(["cancel_timer", "read_timer"])
            steps.append(step(kind, timer=looked, range=[0, 300], from_=some(rng, ["a", "p"], 0.3)))
        if rng.random() < 0.3:
            steps.append(rng.choice([step("kill", to=rng.choice("apr")), step("unregister", name="foo")]))
    steps += [step("sleep_ms", ms=500), info("p", "messages")]
    steps += [step("cancel_timer", timer=timer) for timer in made]
    return scenario("timers", steps)
