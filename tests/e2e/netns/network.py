"""Networks that three nodes are on, and that break: one of namespaces and routes, one of loopback and the nodes' own cuts.

Both know the nodes by their numbers, from 1 to 3. Nothing here knows what the nodes do.
"""

import socket
import subprocess
from pathlib import Path

NODES = (1, 2, 3)


def ip(*arguments):
    """Runs `ip`; what it says is told when it fails."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Namespaces:
    """Each node in a namespace with an address of its own, behind a router, which drops by rules. The router is where
    this program runs, and reaches all of them whatever is cut."""

    name = "namespaces"
    has_links = True

    def __init__(self):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        ip("link", "set", "lo", "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        for node in NODES:
            space, link = f"n{node}", f"to-n{node}"
            ip("netns", "add", space)
            ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("address", "add", f"10.77.{node}.1/24", "dev", link)
            ip("link", "set", link, "up")
            for inside in (
                ("address", "add", f"10.77.{node}.2/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
                ("route", "add", "default", "via", f"10.77.{node}.1"),
            ):
                ip("-n", space, *inside)
        self._dropped = set()
        self._down = set()

    def command(self, node):
        """What a node's program is started by."""
        return ["ip", "netns", "exec", f"n{node}"]

    def address(self, node):
        """Where a node listens."""
        return f"10.77.{node}.2"

    def ports(self, _node):
        """Of gRPC and REST."""
        return 7450, 8080

    def _rule(self, verb, sender, receiver):
        pair = ["from", f"{self.address(sender)}/32", "to", f"{self.address(receiver)}/32"]
        ip("rule", verb, *pair, "priority", "10", "blackhole")

    def cut(self, sender, receiver):
        """Drops what one sends to the other, without a word."""
        self._rule("add", sender, receiver)
        self._dropped.add((sender, receiver))

    def part(self, one, other):
        """Drops what either sends to the other."""
        self.cut(one, other)
        self.cut(other, one)

    def link_down(self, node):
        """Takes the cable out."""
        ip("link", "set", f"to-n{node}", "down")
        self._down.add(node)

    def heal(self):
        """Nothing is cut any more."""
        while self._dropped:
            self._rule("del", *self._dropped.pop())
        while self._down:
            ip("link", "set", f"to-n{self._down.pop()}", "up")


class Loopback:
    """Nodes that share an address, and cut themselves off from each other when they are told."""

    name = "loopback"
    has_links = False

    def __init__(self):
        sockets = [socket.socket() for _ in range(6)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        self._ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        # set by who starts the nodes: (node, method, path, body)
        self.tell = None

    def command(self, _node):
        """What a node's program is started by."""
        return []

    def address(self, _node):
        """Where a node listens."""
        return "127.0.0.1"

    def ports(self, node):
        """Of gRPC and REST."""
        return self._ports[node - 1], self._ports[node + 2]

    def cut(self, sender, receiver):
        """Drops what one sends to the other, without a word."""
        self._ask(sender, receiver, "ONE_WAY")

    def part(self, one, other):
        """Drops what either sends to the other."""
        self._ask(one, other, "BOTH_WAYS")

    def _ask(self, one, other, direction):
        body = {"from": [f"n{one}"], "to": [f"n{other}"], "direction": direction, "ttl": "600s"}
        # whoever tells the other must not be cut off from it before
        status, answer = self.tell(one, "POST", "/v1/chaos/partitions", body)
        if status != 200:
            raise RuntimeError(f"n{one} and n{other} are not cut apart: {answer}")

    def heal(self):
        """Nothing is cut any more."""
        for node in NODES:
            self.tell(node, "POST", "/v1/chaos:stopAll", {})
