"""What a browser does with a node: its page, its streams, its sockets, and what other origins may not."""

import json
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from arsenal_e2e import WAIT_SECONDS, Checks, Node, equal, holds
from chromium import Chromium
from proxy import Proxy

check = Checks()

SCRIPT = (Path(__file__).parent / "page.js").read_text()
WHEREIS = "/arsenal.v1.RegistryService/WhereisProcess"


class World:
    """The node, the browser, and a page of the node's origin behind a proxy that can be cut."""

    def __init__(self, node, browser):
        self.node = node
        self.browser = browser
        address = urlsplit(node.rest)
        self.proxy = Proxy(address.hostname, address.port)
        self.page = browser.open(f"{self.proxy.base}/docs", SCRIPT)

    def get(self, path, body=None):
        """Asks the node past browser and proxy."""
        request = urllib.request.Request(self.node.rest + path, body, {"content-type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=WAIT_SECONDS) as answer:
            return json.load(answer)

    def post(self, path, body):
        """The same with a body."""
        return self.get(path, json.dumps(body).encode())


@check
def the_page_of_operations_needs_no_host_but_the_node(world):
    world.page.run("e2e.element('article').then(() => true)")
    requests = [sent["request"]["url"] for sent in world.page.told("Network.requestWillBeSent")]
    holds(len(requests) >= 2, f"only {requests} were asked for")
    equal([url for url in requests if not url.startswith((world.proxy.base, "data:"))], [])
    equal(world.page.told("Network.loadingFailed"), [])
    equal(world.page.told("Runtime.exceptionThrown"), [])


@check
def it_shows_what_an_operation_takes_answers_and_refuses(world):
    world.page.run("e2e.element('a[href=\"#ProcessService_StartProcess\"]').then(link => link.click())")
    shown = world.page.run("e2e.element('#ProcessService_StartProcess table').then(table => table.closest('article').innerText)")
    for wanted in ["/v1/processes", "curl", "module", "Request-Timeout", "ALREADY_STARTED", "gRPC /arsenal.v1.ProcessService/StartProcess"]:
        holds(wanted in shown, f"{wanted!r} is not in {shown!r}")


@check
def a_page_of_the_node_calls_rest(world):
    answer = world.page.call("post", "/v1/processes", {"module": "counter", "name": "counter"})
    equal(answer["status"], 200)


@check
def grpc_web_is_answered_in_binary_and_in_text(world):
    for in_text, content_type in [(False, "application/grpc-web+proto"), (True, "application/grpc-web-text+proto")]:
        answer = world.page.call("grpcWeb", WHEREIS, "counter", in_text)
        equal((answer["http"], answer["type"]), (200, content_type))
        holds("n1.1." in answer["message"], f"no pid in {answer['message']!r}")
        holds("grpc-status: 0" in answer["trailers"].replace(":0", ": 0"), f"trailers {answer['trailers']!r}")


@check
def an_error_of_grpc_web_has_its_status(world):
    answer = world.page.call("grpcWeb", WHEREIS, "nobody", False)
    holds("grpc-status: 5" in answer["trailers"].replace(":5", ": 5"), f"trailers {answer['trailers']!r}")


@check
def an_event_source_goes_on_behind_what_it_saw_when_the_connection_is_cut(world):
    page = world.page
    page.call("follow", "/v1/processes:watch")
    world.post("/v1/processes", {"module": "kv", "name": "before"})
    page.call("item", "STARTED", "before")
    world.proxy.cut()
    page.call("reconnecting")
    world.post("/v1/processes", {"module": "kv", "name": "meanwhile"})
    world.proxy.mend()
    page.call("item", "STARTED", "meanwhile")
    world.post("/v1/processes", {"module": "kv", "name": "after"})
    page.call("item", "STARTED", "after")
    told = page.call("told")
    page.call("unfollow")
    equal([name for kind, name, _ in told if kind == "STARTED"], ["before", "meanwhile", "after"])
    # No second snapshot and no loss: it went on exactly where it was.
    equal([kind for kind, _, _ in told].count("SNAPSHOT_END"), 1)
    equal([kind for kind, _, _ in told if kind == "DROPPED"], [])
    ids = [int(number) for _, _, number in told if number]
    equal(ids, sorted(ids))


@check
def a_web_socket_is_a_process(world):
    page = world.page
    socket = world.proxy.base.replace("http", "ws") + "/v1/sessions:connect"
    equal(page.call("connect", socket, "grpc-json.v1"), {"open": True, "protocol": "grpc-json.v1"})
    page.call("send", {"open": {"name": "me"}})
    equal(page.call("frame")["opened"]["name"], "me")
    page.call("send", {"id": "1", "call": {"process": "counter", "message": ["add", 41]}})
    result = page.call("frame")["result"]
    equal((result["id"], result["reply"]), ("1", 41))
    world.post("/v1/processes/me:send", {"message": "hello"})
    delivery = page.call("frame")["delivery"]
    equal((delivery["kind"], delivery["message"]), ("INFO", "hello"))
    page.call("send", {"close": {}})
    equal(page.call("frame")["closed"]["reason"], "normal")
    equal(page.call("frame"), {"close": 1000})


@check
def a_web_socket_that_fails_tells_why_and_closes_with_its_code(world):
    page = world.page
    socket = world.proxy.base.replace("http", "ws") + "/v1/sessions:connect"
    page.call("connect", socket, "grpc-json.v1")
    page.call("send", {"close": {}})
    error = page.call("frame")["error"]
    equal(error["status"], "INVALID_ARGUMENT")
    equal(page.call("frame"), {"close": 4003})


@check
def a_page_of_another_origin_opens_no_web_socket(world):
    """The page came through the proxy; the node's own address is another origin to it."""
    socket = world.node.rest.replace("http", "ws") + "/v1/sessions:connect"
    equal(world.page.call("connect", socket, "grpc-json.v1")["open"], False)


@check
def a_page_of_another_origin_changes_nothing_even_by_what_a_form_could_send(world):
    url = f"{world.node.rest}/v1/processes/counter:kill"
    before = world.get("/v1/registry/names/counter")
    world.page.run(f"fetch({url!r}, {{ method: 'POST', mode: 'no-cors' }}).then(() => true, () => true)")
    refused = world.page.run(
        f"fetch({url!r}, {{ method: 'POST', headers: {{ 'content-type': 'application/json' }}, body: '{{}}' }})"
        ".then(() => false, () => true)"
    )
    holds(refused, "the page read an answer")
    equal(world.get("/v1/registry/names/counter"), before)


@check
def a_page_of_an_origin_that_the_node_names_reads_its_answers(world):
    with Node(environment={"ARSENAL_GATEWAY_ORIGINS": json.dumps([world.proxy.base])}) as naming:
        started = world.page.call("post", f"{naming.rest}/v1/processes", {"module": "kv", "name": "named"})
        equal(started["status"], 200)
        refused = world.page.call("post", f"{naming.rest}/v1/processes", {"module": "kv", "name": "named"})
        equal((refused["status"], refused["body"]["error"]["status"]), (409, "ALREADY_EXISTS"))
        world.page.call("follow", f"{naming.rest}/v1/processes:watch")
        world.page.call("item", "SNAPSHOT", "named")
        world.page.call("unfollow")
        socket = naming.rest.replace("http", "ws") + "/v1/sessions:connect"
        equal(world.page.call("connect", socket, "grpc-json.v1")["open"], True)


with Node(environment={"ARSENAL_GATEWAY_RECONNECT_MS": "100"}) as started, Chromium() as chromium:
    sys.exit(not check.run(World(started, chromium)))
