"""A tree kept running over REST, errors, numbers and texts that JSON libraries get wrong, and a stream of lines."""

import json
import resource
import sys
from pathlib import Path
from urllib.parse import quote

import requests
from arsenal_e2e import WAIT_SECONDS, Checks, Node, equal, eventually, holds

check = Checks()


class Api(requests.Session):
    """Paths of one node, and no request that hangs."""

    def __init__(self, node):
        super().__init__()
        self.node, self.base = node, node.rest
        # Proxies of the environment are not for the loopback interface.
        self.trust_env = False

    def request(self, method, path, **options):
        options.setdefault("timeout", WAIT_SECONDS)
        return super().request(method, self.base + path, **options)

    def done(self, method, path, **options):
        """The answer of what must succeed."""
        answer = self.request(method, path, **options)
        holds(answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


def refused(answer, http_status, status, reason):
    """The answer is this error in the shape of AIP-193; gives its details by type."""
    error = answer.json()["error"]
    equal((answer.status_code, error["code"]), (http_status, http_status))
    equal(error["status"], status)
    holds(error["message"], "an error without a message")
    details = {each["@type"].rsplit("/")[-1]: each for each in error["details"]}
    equal(details["google.rpc.ErrorInfo"]["reason"], reason)
    return details


@check
def a_tree_starts_and_lists_its_children(api):
    children = [
        {"id": "first", "module": "counter", "name": "first"},
        {"id": "second", "module": "kv", "name": "second"},
    ]
    flags = {"strategy": "ONE_FOR_ONE", "intensity": 5, "period": "10s"}
    started = api.done("POST", "/v1/supervisors", json={"name": "shop", "children": children, **flags})
    equal([child["id"] for child in started["children"]], ["first", "second"])
    listed = api.done("GET", "/v1/supervisors/shop/children")["children"]
    equal({child["id"]: child["state"] for child in listed}, {"first": "RUNNING", "second": "RUNNING"})


@check
def a_killed_child_lives_again_as_its_second_incarnation(api):
    before = api.done("GET", "/v1/registry/names/first")["pid"]
    with api.get("/v1/supervisors/shop:watch", headers={"accept": "application/x-ndjson"}, stream=True) as stream:
        events = (json.loads(line) for line in stream.iter_lines(chunk_size=1))
        api.done("POST", "/v1/processes/first:kill", json={})
        restarted = next(event for event in events if event.get("kind") == "RESTARTED")
    holds(restarted["pid"] != before, "the pid of the dead child was used again")
    children = api.done("GET", "/v1/supervisors/shop/children")["children"]
    child = next(child for child in children if child["id"] == "first")
    equal((child["incarnation"], child["pid"]), ("2", restarted["pid"]))
    equal(api.done("GET", f"/v1/exits/{before}")["reason"], "killed")


@check
def a_process_that_is_not_there_is_named_in_the_error(api):
    details = refused(api.get("/v1/processes/nobody/info"), 404, "NOT_FOUND", "NOPROC")
    equal(details["google.rpc.ResourceInfo"]["resourceName"], "nobody")


@check
def a_taken_name_tells_its_holder(api):
    answer = api.post("/v1/processes", json={"module": "kv", "name": "second"})
    details = refused(answer, 409, "ALREADY_EXISTS", "ALREADY_STARTED")
    holder = api.done("GET", "/v1/registry/names/second")["pid"]
    equal(details["arsenal.v1.ExitDetail"]["process"], holder)


@check
def a_wrong_field_is_told_with_the_right_one(api):
    answer = api.post("/v1/processes", json={"modul": "kv"})
    refused(answer, 400, "INVALID_ARGUMENT", "INVALID_BODY")
    holds("did you mean `module`" in answer.json()["error"]["message"], answer.text)


@check
def a_wrong_value_is_told_with_its_field(api):
    details = refused(api.post("/v1/processes", json={"module": "kv", "name": "a/b"}), 400, "INVALID_ARGUMENT", "BADARG")
    equal([each["field"] for each in details["google.rpc.BadRequest"]["fieldViolations"]], ["name"])


@check
def a_call_that_nobody_answers_ends_by_its_timeout(api):
    api.done("POST", "/v1/processes", json={"module": "counter", "name": "mute"})
    answer = api.post("/v1/processes/mute:call", json={"message": "noreply", "timeout": "0.05s"})
    refused(answer, 504, "DEADLINE_EXCEEDED", "TIMEOUT")


@check
def a_method_that_a_path_has_not_is_refused_with_those_it_has(api):
    answer = api.put("/v1/processes/first:kill", json={})
    refused(answer, 405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED")
    equal(answer.headers["allow"], "OPTIONS, POST")


@check
def an_integer_of_64_bits_comes_back_exactly(api):
    """Beyond 2^53 it is text, as a JSON number may lose its last digits."""
    largest = 2**63 - 1
    api.done("POST", "/v1/processes", json={"module": "counter", "name": "large", "args": {"initial": 2**53}})
    reply = api.done("POST", "/v1/processes/large:call", json={"message": ["add", 1]})["reply"]
    equal(reply, str(2**53 + 1))
    small = api.done("POST", "/v1/processes/first:call", json={"message": ["add", 7]})["reply"]
    equal((small, type(small)), (7, int))
    # The node refuses so large a limit, and tells the number that reached it.
    for limit in [largest, str(largest)]:
        answer = api.post("/v1/processes", json={"module": "kv", "limits": {"mailboxMessagesMax": limit}})
        refused(answer, 400, "INVALID_ARGUMENT", "BADARG")
        holds(f"is {largest};" in answer.json()["error"]["message"], answer.text)
    answer = api.post("/v1/processes", json={"module": "kv", "limits": {"mailboxMessagesMax": 2**64}})
    refused(answer, 400, "INVALID_ARGUMENT", "INVALID_BODY")


@check
def any_text_survives_as_payload_name_and_path(api):
    text = "žluť 水 🦀 \u0000 \u2028 \\ \" é"
    api.done("POST", "/v1/processes", json={"module": "echo", "name": "echo"})
    equal(api.done("POST", "/v1/processes/echo:call", json={"message": {text: [text]}})["reply"], {text: [text]})
    name = "žluťoučký kůň 🦀+&="
    pid = api.done("POST", "/v1/processes", json={"module": "kv", "name": name})["pid"]
    equal(api.done("GET", f"/v1/registry/names/{quote(name)}")["pid"], pid)
    equal(api.done("GET", f"/v1/processes/{quote(name, safe='')}/info")["process"]["registeredName"], name)
    listed = api.done("GET", "/v1/processes", params={"filter": f'registered_name == "{name}"'})["processes"]
    equal([process["pid"] for process in listed], [pid])


@check
def pages_of_a_list_hold_each_process_once(api):
    seen, token = [], ""
    while True:
        page = api.done("GET", "/v1/processes", params={"pageSize": 3, "pageToken": token})
        holds(len(page["processes"]) <= 3, f"a page of {len(page['processes'])}")
        seen += [process["pid"] for process in page["processes"]]
        token = page["nextPageToken"]
        if not token:
            break
    equal(len(seen), len(set(seen)))
    equal(len(seen), len(api.done("GET", "/v1/processes")["processes"]))


@check
def a_followed_stream_shows_each_change_in_order(api):
    watch = api.get(
        "/v1/processes:watch",
        params={"filter": 'module == "recorder"'},
        headers={"accept": "application/x-ndjson"},
        stream=True,
    )
    with watch as stream:
        equal(stream.headers["content-type"], "application/x-ndjson")
        pids = [api.done("POST", "/v1/processes", json={"module": "recorder"})["pid"] for _ in range(5)]
        items = []
        for line in stream.iter_lines(chunk_size=1):
            items.append(json.loads(line))
            if items[-1]["kind"] == "STARTED" and items[-1]["process"]["pid"] == pids[-1]:
                break
    started = [item["process"]["pid"] for item in items if item["kind"] == "STARTED"]
    equal(started, pids)
    sequences = [int(item["sequence"]) for item in items]
    equal(sequences, sorted(sequences))


@check
def a_mutation_tells_under_which_id_it_is_logged(api):
    answer = api.post("/v1/processes/first:cast", json={"message": "incr"})
    holds(answer.headers.get("arsenal-operation-id"), f"no operation id in {dict(answer.headers)}")


def resident_bytes(pid):
    """What the system says of a program's memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


@check
def memory_comes_back_from_a_hundred_thousand_processes(api):
    supervisors, children = 5, 20_000
    before = resident_bytes(api.node.process.pid)
    for number in range(supervisors):
        specs = [{"id": f"c{each}", "module": "counter"} for each in range(children)]
        started = api.done("POST", "/v1/supervisors", json={"name": f"many{number}", "children": specs})
        holds(started["pid"], f"no pid in {started}")
    full = resident_bytes(api.node.process.pid)
    holds(full - before > supervisors * children * 500, f"{full} bytes hold them all, and {before} none")
    for number in range(supervisors):
        api.done("POST", f"/v1/processes/many{number}:kill", json={})
    # the logs of what happened stay, within their bounds
    enough = before + (full - before) // 2
    eventually(lambda: resident_bytes(api.node.process.pid), lambda now: now < enough, f"{enough} resident bytes of {full}")


with Node() as node:
    sys.exit(not check.run(Api(node)))
