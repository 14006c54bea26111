"""Three nodes as processes on a network, and what may become of them. Each is ended by its own id, and with this program."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from arsenal_e2e import eventually, holds
from network import NODES

# A session outlasts the pauses of a busy machine; a fault that is to outlast it is longer.
LEASE_SECONDS = 3
# How long an answer may take at all.
ANSWER_SECONDS = 8


def reason(answer):
    """The stable word for what went wrong; empty if nothing did."""
    details = answer.get("error", {}).get("details", []) if isinstance(answer, dict) else []
    return next((detail["reason"] for detail in details if "reason" in detail), "")


class Cluster:
    """The nodes."""

    def __init__(self, network, folder):
        self.network = network
        self.folder = Path(folder)
        self.processes = {}
        network.tell = self.call
        for node in NODES:
            self.data(node).mkdir()

    def data(self, node):
        """Where a node keeps who it is."""
        return self.folder / f"data-{node}"

    def log(self, node):
        """What a node has said in all its lives."""
        return (self.folder / f"{node}.log").read_text(errors="replace")

    def launch(self, node):
        """Starts a node's program, and waits for nothing."""
        grpc, rest = self.network.ports(node)
        seeds = [f"{self.network.address(each)}:{self.network.ports(each)[0]}" for each in NODES]
        settings = {
            "NODE_DATA_DIR": str(self.data(node)),
            "NODE_SCHEDULERS": "1",
            "CLUSTER_NAME": f"node-{node}",
            "CLUSTER_BOOTSTRAP_EXPECT": "3",
            "CLUSTER_SEEDS": json.dumps(seeds),
            "CLUSTER_LEASE_MS": str(LEASE_SECONDS * 1000),
            "CLUSTER_RENEW_MS": "500",
            "LISTEN_GRPC": f"{self.network.address(node)}:{grpc}",
            "LISTEN_REST": f"{self.network.address(node)}:{rest}",
            "LISTEN_INSECURE": "true",
            "CHAOS_ALLOWED": "true",
            "CLUSTER_DISK_MS": "4000",
        }
        environment = {f"ARSENAL_{name}": value for name, value in settings.items()}
        with open(self.folder / f"{node}.log", "ab") as log:
            self.processes[node] = subprocess.Popen(
                [*self.network.command(node), os.environ["ARSENAL"], "node"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
            )

    def start(self, node):
        """Starts a node and waits until it serves, with the process that holds names there."""
        self.launch(node)
        self.serves(node)

    def serves(self, node):
        """Waits until a node serves."""
        eventually(lambda: self.call(node, "GET", "/healthz")[0], lambda status: status == 200, f"n{node} serving")
        body = {"module": "counter", "name": "c"}
        status, answer = self.call(node, "POST", "/v1/processes", body)
        holds(status == 200 or reason(answer) == "ALREADY_STARTED", f"no process on n{node}: {answer}")

    def kill(self, node):
        """As kill -9 does."""
        self.processes[node].kill()
        self.processes[node].wait()

    def signal(self, node, number):
        """Sends a node a signal."""
        self.processes[node].send_signal(number)

    def end(self):
        """Makes sure that nothing of it is left."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    def call(self, node, method, path, body=None, timeout=ANSWER_SECONDS):
        """Asks a node; gives the status and the answer, or no status and what went wrong."""
        _, rest = self.network.ports(node)
        connection = http.client.HTTPConnection(self.network.address(node), rest, timeout=timeout)
        try:
            headers = {"content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
            is_json = response.headers.get("content-type", "").startswith("application/json")
            return response.status, json.loads(text) if is_json else text
        except (OSError, socket.timeout, http.client.HTTPException) as error:
            return None, repr(error)
        finally:
            connection.close()

    def register(self, node, name):
        """Has the process on a node get a global name."""
        body = {"process": "c", "allow_multiple": True}
        return self.call(node, "PUT", f"/v1/registry/global/{name}", body)

    def whereis(self, node, name):
        """Who holds a global name, by what every write before says."""
        return self.call(node, "GET", f"/v1/registry/global/{name}?consistency=LINEARIZABLE")

    def finds(self, node, name):
        """Who holds a global name, once there is a quorum to ask."""
        found = lambda: self.whereis(node, name)
        status, answer = eventually(found, lambda answer: answer[0] in (200, 404), f"an answer on n{node}")
        return answer["pid"] if status == 200 else None

    def in_session(self, node):
        """Whether a node's session holds, by its own word."""
        status, answer = self.call(node, "GET", "/v1/cluster")
        return status == 200 and answer["inSession"]

    def leader(self):
        """The node that most agree on as the one that leads."""

        def ask():
            votes = []
            for node in NODES:
                status, text = self.call(node, "GET", "/metrics", timeout=2)
                found = re.search(r"^arsenal_cluster_leader (\d+)", text, re.MULTILINE) if status == 200 else None
                votes.append(int(found[1]) if found else 0)
            return max(NODES, key=votes.count) if any(votes.count(node) >= 2 for node in NODES) else None

        return eventually(ask, lambda leader: leader is not None, "a leader")

    def accepts(self, node, name):
        """Waits until a name can be registered on a node; gives how many seconds that took."""
        began = time.monotonic()

        def taken(answer):
            # whether an earlier try was heard is not known then, and its holder is this one
            return answer[0] == 200 or reason(answer[1]) == "NAME_TAKEN"

        eventually(lambda: self.register(node, name), taken, f"a write on n{node}")
        return time.monotonic() - began
