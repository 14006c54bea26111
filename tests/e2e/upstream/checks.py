"""Calls and streams that are quiet for long, errors with their details, and each kind of stream, by descriptors from a
file and by reflection. What is quiet is all quiet at once.
"""

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import requests
from arsenal_e2e import WAIT_SECONDS, Checks, Gateway, equal, holds
from shop import Server

check = Checks()

LINES = {"content-type": "application/x-ndjson"}


class Shop:
    """The service, and gateways before it: one by its descriptors, one by its reflection, one that pings each second."""

    def __init__(self, server, stack):
        self.server = server
        before = lambda **settings: stack.enter_context(Gateway(server.url, **settings)).rest
        self.bases = [before(descriptors=server.descriptors), before(descriptors="reflection")]
        self.pinging = before(descriptors=server.descriptors, ping_ms="1000")

    def __call__(self, base, method, path, **options):
        # Proxies of the environment are not for the loopback interface.
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, base + path, timeout=WAIT_SECONDS, **options)


def lines(answer):
    return [json.loads(line) for line in answer.text.splitlines() if line]


@check
def what_is_quiet_for_seconds_comes_to_its_end_and_is_done_once(shop):
    with ThreadPoolExecutor() as pool:
        asked = [f"items/slow{place}" for place, _ in enumerate(shop.bases)]
        calls = [
            pool.submit(shop, base, "GET", f"/v1/{name}?seconds=7") for name, base in zip(asked, shop.bases)
        ]
        streams = [pool.submit(shop, base, "GET", "/v1/items:follow?seconds=8") for base in shop.bases]
        # That a second is too soon for this server is what the others are spared: else this would show nothing.
        refused = pool.submit(shop, shop.pinging, "GET", "/v1/items:follow?seconds=25")
    for name, call in zip(asked, calls):
        equal((call.result().status_code, call.result().json()), (200, {"name": name, "price": "7"}))
        equal(shop.server.asked[name], 1)
    for stream in streams:
        equal([item.get("name") for item in lines(stream.result())], ["items/1", "items/2"])
    last = lines(refused.result())[-1]
    holds("error" in last and "ping" in last["error"]["message"].lower(), f"pinged each second it said {last}")


@check
def an_error_has_the_details_that_the_service_gave_it(shop):
    for base in shop.bases:
        answer = shop(base, "GET", "/v1/items/none")
        error = answer.json()["error"]
        equal((answer.status_code, error["status"], error["message"]), (404, "NOT_FOUND", "there is no items/none"))
        details = {each["@type"].rsplit("/")[-1]: each for each in error["details"]}
        equal(details["google.rpc.ErrorInfo"]["reason"], "ITEM_GONE")
        equal(details["google.rpc.ErrorInfo"]["metadata"], {"item": "items/none"})
        equal(details["google.rpc.ResourceInfo"]["resourceName"], "items/none")


@check
def each_kind_of_call_goes_through(shop):
    items = [{"name": f"items/{place}", "price": str(place)} for place in range(1, 4)]
    body = "".join(json.dumps(item) + "\n" for item in items)
    for base in shop.bases:
        equal(shop(base, "GET", "/v1/items/1").json(), {"name": "items/1", "price": "7"})
        followed = lines(shop(base, "GET", "/v1/items:follow"))
        equal([item["price"] for item in followed], ["1", "2"])
        equal(shop(base, "POST", "/v1/items:add", data=body, headers=LINES).json(), {"count": 3})
        offers = lines(shop(base, "POST", "/v1/items:haggle", data=body, headers=LINES))
        equal([(item["name"], item.get("price", "0")) for item in offers], [("items/1", "0"), ("items/2", "1"), ("items/3", "2")])


@check
def the_health_of_the_service_is_that_of_the_gateway(shop):
    for base in shop.bases:
        answer = shop(base, "GET", "/healthz")
        equal((answer.status_code, answer.json()), (200, {"status": "SERVING"}))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Server(folder) as server, ExitStack() as stack:
        passed = check.run(Shop(server, stack))
    sys.exit(not passed)
