"""Faults of three nodes under load, one after another; see `run`."""

import os
import signal
import statistics
import sys
import tempfile
import time

from arsenal_e2e import Checks, equal, eventually, holds
from cluster import LEASE_SECONDS, Cluster, reason
from disk import Disk
from load import Load
from network import NODES, Loopback, Namespaces

check = Checks()
rounds = int(os.environ.get("NETNS_ROUNDS", "1"))
# What outlasts a lease, and the margin of who calls a session over.
LONGER_THAN_LEASE = LEASE_SECONDS * 1.5
# The node with a disk of its own.
SMALL = 3


class Test:
    """What the checks share."""

    def __init__(self, cluster, disk, load):
        self.cluster = cluster
        self.disk = disk
        self.load = load
        self.serial = 0
        # seconds, by what took them
        self.took = {}

    def name(self):
        """A name that nobody has had."""
        self.serial += 1
        return f"probe-{self.serial}"

    def note(self, what, seconds):
        """Keeps what took how long."""
        self.took.setdefault(what, []).append(seconds)

    def keeps(self):
        """What was acknowledged where nothing was wrong is still so, by whoever is asked."""
        names = dict(self.load.names)
        newest = list(names)[-60:]
        for position, name in enumerate(newest):
            node = NODES[position % len(NODES)]
            holder = self.cluster.finds(node, name)
            if name in self.load.names:
                equal((name, holder), (name, names[name]))

    def fault(self, what, victims, survivor, seconds, cause, undo):
        """Causes a fault and undoes it. Whoever is left goes on meanwhile, and all do afterwards."""
        self.load.trouble(*victims)
        try:
            cause()
            self.note(f"{what}: the next write elsewhere", self.cluster.accepts(survivor, self.name()))
            time.sleep(seconds)
        finally:
            undo()
        for node in NODES:
            self.note(f"{what}: the next write after it, everywhere", self.cluster.accepts(node, self.name()))
        for node in victims:
            eventually(lambda node=node: self.cluster.in_session(node), bool, f"a session of n{node}")
        self.load.recovered(*victims)
        self.keeps()


def others(*nodes):
    """All but these."""
    return [node for node in NODES if node not in nodes]


@check
def whoever_leads_is_killed_and_the_next_write_is_accepted_by_the_others(test):
    cluster = test.cluster
    for _ in range(3 * rounds):
        leader = cluster.leader()
        survivor = others(leader)[0]
        kill = lambda: cluster.kill(leader)
        test.fault("kill -9 of the leader", [leader], survivor, 0, kill, lambda: cluster.start(leader))


@check
def a_leader_that_is_cut_off_refuses_soon_and_the_others_go_on(test):
    cluster = test.cluster
    for _ in range(rounds):
        leader = cluster.leader()
        survivor = others(leader)[0]
        began = []

        def cut():
            for other in others(leader):
                cluster.network.part(leader, other)
            began.append(time.monotonic())

        test.fault("partition", [leader], survivor, LONGER_THAN_LEASE, cut, cluster.network.heal)
        cut_off = [
            refusal for refusal in list(test.load.refusals)
            if refusal[2] == leader and began[0] + 2 <= refusal[0] <= began[0] + LONGER_THAN_LEASE - 1
        ]
        holds(cut_off, f"n{leader} refused nothing while it was cut off")
        words = {refusal[3] for refusal in cut_off}
        holds(words <= {"NO_QUORUM"}, f"n{leader} said {words}")
        for asked, answered, _, _ in cut_off:
            test.note("partition: a refusal of the minority", answered - asked)
        slowest = max(answered - asked for asked, answered, _, _ in cut_off)
        holds(slowest < 2, f"a refusal took {slowest:.2f} s")


@check
def a_node_whose_link_is_down_loses_its_session_and_comes_back(test):
    cluster = test.cluster
    if not cluster.network.has_links:
        print("  not run: nodes on loopback have no link of their own")
        return
    for _ in range(rounds):
        victim = others(cluster.leader())[0]
        link_down = lambda: cluster.network.link_down(victim)
        survivor = others(victim)[0]
        test.fault("link down", [victim], survivor, LONGER_THAN_LEASE, link_down, cluster.network.heal)


@check
def one_that_is_not_heard_or_does_not_hear_holds_nobody_up(test):
    cluster = test.cluster
    for _ in range(rounds):
        for is_heard in (True, False):
            leader = cluster.leader()
            survivor = others(leader)[0]

            def cut():
                for other in others(leader):
                    cluster.network.cut(*((other, leader) if is_heard else (leader, other)))

            test.fault("one way", [leader], survivor, LEASE_SECONDS / 2, cut, cluster.network.heal)


@check
def two_that_do_not_see_each_other_and_share_a_third_make_no_two_clusters(test):
    cluster = test.cluster
    for _ in range(rounds):
        leader = cluster.leader()
        other, bridge = others(leader)

        def cut():
            cluster.network.part(leader, other)

        test.fault("bridge", [leader, other], bridge, LONGER_THAN_LEASE, cut, cluster.network.heal)


@check
def a_leader_that_is_paused_for_longer_than_its_lease_comes_back_as_one_of_many(test):
    cluster = test.cluster
    for _ in range(rounds):
        leader = cluster.leader()
        stop = lambda: cluster.signal(leader, signal.SIGSTOP)
        go_on = lambda: cluster.signal(leader, signal.SIGCONT)
        test.fault("SIGSTOP of the leader", [leader], others(leader)[0], LONGER_THAN_LEASE, stop, go_on)


@check
def a_partition_that_a_node_is_asked_for_ends_though_that_node_is_cut_off_by_it(test):
    cluster = test.cluster
    asked, survivor = 1, 2
    test.load.trouble(asked)
    body = {"from": ["n1"], "ttl": f"{LONGER_THAN_LEASE + 2}s"}
    status, answer = cluster.call(asked, "POST", "/v1/chaos/partitions", body)
    equal(status, 200)
    equal((answer["withoutQuorum"], answer["heldBy"]), (["n1"], ["n1", "n2", "n3"]))
    test.note("caused partition: the next write elsewhere", cluster.accepts(survivor, test.name()))
    lost = lambda: reason(cluster.register(asked, test.name())[1])
    eventually(lost, lambda word: word == "NO_QUORUM", "a refusal of the minority")
    eventually(lambda: cluster.in_session(asked), lambda holds: not holds, "the end of its session")
    cluster.accepts(asked, test.name())
    eventually(lambda: cluster.in_session(asked), bool, "a session of n1")
    equal(cluster.call(asked, "GET", "/v1/chaos?node=-")[1]["chaos"], [])
    test.load.recovered(asked)
    test.keeps()


def ends_with(test, code, words):
    """Waits until the node with the small disk has ended, and looks at why."""
    ended = eventually(test.cluster.processes[SMALL].poll, lambda code: code is not None, f"the end of n{SMALL}")
    last = test.cluster.log(SMALL).splitlines()[-1]
    equal(ended, code)
    holds(last.startswith("arsenal: ") and words in last, f"it said {last}")


@check
def a_node_whose_disk_is_full_says_so_and_ends_and_goes_on_once_there_is_room(test):
    cluster, disk = test.cluster, test.disk
    if not disk.is_mounted:
        print("  not run: this machine lets nobody mount a small disk")
        return
    test.load.trouble(SMALL)
    disk.fill()
    ends_with(test, 5, "No space left on device")
    test.note("disk full: the next write elsewhere", cluster.accepts(1, test.name()))
    cluster.launch(SMALL)
    ends_with(test, 4, f"`{cluster.data(SMALL)}/node.toml`: No space left on device")
    disk.make_room()
    cluster.start(SMALL)
    test.note("disk full: the next write there, with room", cluster.accepts(SMALL, test.name()))
    eventually(lambda: cluster.in_session(SMALL), bool, f"a session of n{SMALL}")
    test.load.recovered(SMALL)
    test.keeps()


@check
def a_node_whose_disk_hangs_says_so_and_ends_while_the_others_go_on(test):
    cluster, disk = test.cluster, test.disk
    if not disk.can_hang:
        print("  not run: this machine has no disk that could be made to hang")
        return
    test.load.trouble(SMALL)
    disk.hang()
    told = lambda: "a write to the disk of the replicated log has been taking" in cluster.log(SMALL)
    eventually(told, bool, "a word about the disk")
    test.note("disk hangs: the next write elsewhere", cluster.accepts(1, test.name()))
    # a thread that waits for the disk cannot end before that goes on
    disk.go_on()
    ends_with(test, 5, "a write to the disk of the replicated log")
    cluster.start(SMALL)
    test.note("disk hangs: the next write there, once it goes on", cluster.accepts(SMALL, test.name()))
    eventually(lambda: cluster.in_session(SMALL), bool, f"a session of n{SMALL}")
    test.load.recovered(SMALL)
    test.keeps()


@check
def nothing_that_was_acknowledged_is_lost_and_the_crown_never_had_two_holders(test):
    load, cluster = test.load, test.cluster
    load.stop()
    for position, (name, pid) in enumerate(load.names.items()):
        equal((name, cluster.finds(NODES[position % len(NODES)], name)), (name, pid))
    equal(load.untrue()[:5], [])
    wore = len({grant[1] for grant in load.grants})
    holds(wore == len(NODES), f"the crown was worn on {wore} nodes alone")
    print(
        f"  {load.acknowledged} names acknowledged, {len(load.names)} of them looked up at the end; the crown was"
        f" won {len(load.grants)} times and read {len(load.reads)} times; {len(load.refusals)} writes were refused"
    )


def tell(took):
    """Prints what took how long."""
    print(f"\n{'seconds':60} {'median':>8} {'p99':>8} {'most':>8} {'count':>6}")
    for what, seconds in took.items():
        ordered = sorted(seconds)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        print(f"{what:60} {statistics.median(ordered):8.3f} {p99:8.3f} {ordered[-1]:8.3f} {len(ordered):6}")


def main():
    """Runs the checks on the form of the network that is named."""
    network = Namespaces() if sys.argv[1] == "namespaces" else Loopback()
    print(f"three nodes: {network.name}")
    # the driver's interruption ends the nodes too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    with tempfile.TemporaryDirectory(prefix="arsenal-netns-") as folder:
        cluster = Cluster(network, folder)
        disk = Disk(cluster.data(SMALL))
        try:
            for node in NODES:
                cluster.launch(node)
            for node in NODES:
                cluster.serves(node)
            test = Test(cluster, disk, Load(cluster))
            passed = check.run(test)
            tell(test.took)
            if not passed:
                for node in NODES:
                    print(f"\n-- n{node} said last\n" + "\n".join(cluster.log(node).splitlines()[-30:]))
        finally:
            disk.go_on()
            cluster.end()
            disk.end()
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
