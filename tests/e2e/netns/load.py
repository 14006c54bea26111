"""What the nodes are asked for all the while, and whether what they answered can all be true.

On each node names are registered one after another; one name, the crown, is fought for by all; and all read who has it.
"""

import threading
import time

from cluster import LEASE_SECONDS, reason
from network import NODES

CROWN = "/v1/registry/global/crown"
# A crown is worn so long; between two tries a little less.
WORN_SECONDS = 0.05


class Load:
    """Asks until it is stopped."""

    def __init__(self, cluster):
        self.cluster = cluster
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        # name -> pid, of what was acknowledged and has to be there until its node is in trouble
        self.names = {}
        self.acknowledged = 0
        # (token, node, pid, asked, answered), of the crown
        self.grants = []
        # token -> when its holder asked to lay it down
        self.released = {}
        # (asked, answered, token, pid)
        self.reads = []
        # (asked, answered, node, reason), of writes that were not done
        self.refusals = []
        # (node, from, until)
        self.troubles = []
        self._troubled = {}
        self.surprises = []
        jobs = [(job, node) for job in (self._write, self._fight, self._read) for node in NODES]
        self._threads = [threading.Thread(target=job, args=(node,), daemon=True) for job, node in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Asks no more."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def trouble(self, *nodes):
        """These nodes may lose their names from now on."""
        with self._lock:
            for node in nodes:
                self._troubled[node] = time.monotonic()
                self.names = {name: pid for name, pid in self.names.items() if not pid.startswith(f"n{node}.")}

    def recovered(self, *nodes):
        """And from now on no more."""
        with self._lock:
            for node in nodes:
                self.troubles.append((node, self._troubled.pop(node), time.monotonic()))

    def _again(self, pause):
        return not self._stopped.wait(pause)

    def _note_refusal(self, node, asked, answer):
        with self._lock:
            self.refusals.append((asked, time.monotonic(), node, reason(answer) or "no answer"))

    def _write(self, node):
        serial = 0
        while self._again(0.02):
            name, serial = f"w{node}-{serial}", serial + 1
            asked = time.monotonic()
            status, answer = self.cluster.register(node, name)
            if status != 200:
                self._note_refusal(node, asked, answer)
                continue
            with self._lock:
                self.acknowledged += 1
                if node not in self._troubled:
                    self.names[name] = answer["registration"]["pid"]

    def _fight(self, node):
        while self._again(WORN_SECONDS):
            asked = time.monotonic()
            status, answer = self.cluster.register(node, "crown")
            if status == 200:
                token, pid = int(answer["token"]), answer["registration"]["pid"]
            else:
                # of this try or an earlier one nobody may have said that it was done
                status, answer = self.cluster.whereis(node, "crown")
                if status != 200 or not answer["pid"].startswith(f"n{node}."):
                    continue
                token, pid = int(answer["token"]), answer["pid"]
            with self._lock:
                self.grants.append((token, node, pid, asked, time.monotonic()))
            self._again(WORN_SECONDS)
            self._lay_down(node, token)

    def _lay_down(self, node, token):
        with self._lock:
            self.released[token] = time.monotonic()
        gone = ("NO_NAME", "STALE_TOKEN")
        while True:
            status, answer = self.cluster.call(node, "DELETE", f"{CROWN}?token={token}")
            if status == 200 or reason(answer) in gone or not self._again(0.1):
                return

    def _read(self, node):
        while self._again(0.03):
            asked = time.monotonic()
            status, answer = self.cluster.whereis(node, "crown")
            if status == 200:
                with self._lock:
                    self.reads.append((asked, time.monotonic(), int(answer["token"]), answer["pid"]))

    def untrue(self):
        """What cannot be true of the crown, in words."""
        with self._lock:
            grants, reads = sorted(self.grants), sorted(self.reads)
        found = []
        holder = {}
        for token, pid in [(grant[0], grant[2]) for grant in grants] + [(read[2], read[3]) for read in reads]:
            if holder.setdefault(token, pid) != pid:
                found.append(f"token {token} is of {holder[token]} and of {pid}")
        seen = [(asked, answered, token) for token, _, _, asked, answered in grants]
        seen += [(asked, answered, token) for asked, answered, token, _ in reads]
        found += goes_back(seen)
        for earlier, later in zip(grants, grants[1:]):
            if earlier[2] != later[2] and not self._ended(earlier, later[4]):
                found.append(f"{earlier[2]} had the crown by {earlier[0]} when {later[2]} got it by {later[0]}")
        return found

    def _ended(self, grant, by):
        """Whether the holder had laid the crown down by then, or its node was in trouble."""
        token, node, _, asked, _ = grant
        if self.released.get(token, by + 1) <= by:
            return True
        return any(
            node == troubled and since <= by and asked <= until + 2 * LEASE_SECONDS
            for troubled, since, until in self.troubles
        )


def goes_back(seen):
    """Where somebody who asked after an answer was shown something older than that answer."""
    found = []
    answers = sorted((answered, token) for _, answered, token in seen)
    newest, at = 0, 0
    for asked, _, token in sorted(seen):
        while at < len(answers) and answers[at][0] < asked:
            newest, at = max(newest, answers[at][1]), at + 1
        if token < newest:
            found.append(f"token {token} was shown to who asked after {newest} had been shown")
    return found
