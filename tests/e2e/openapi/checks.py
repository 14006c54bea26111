"""The document against its specification, then a generated client against the node that gave it the document. A second
document is that of a gateway before two packages whose services are called alike.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api
import httpx
from arsenal_e2e import WAIT_SECONDS, Checks, Gateway, Node, equal, holds
from examples import misfits
from grpc_tools import protoc
from openapi_spec_validator import OpenAPIV31SpecValidator

check = Checks()

GENERATED = Path(os.environ["E2E_CACHE"]) / "openapi-client"


class Generated:
    """The client that was generated. Its modules are imported only once they are written."""

    def __init__(self, base):
        sys.path.insert(0, str(GENERATED))
        import node_client

        # Proxies of the environment are not for the loopback interface.
        self.client = node_client.Client(base_url=base, timeout=httpx.Timeout(WAIT_SECONDS), httpx_args={"trust_env": False})

    def operation(self, service, name):
        """What calls an operation; answers status, headers and what the answer was parsed to."""
        module = __import__(f"node_client.api.{service}.{service}_{name}", fromlist=["sync_detailed"])
        return lambda *path, **fields: module.sync_detailed(*path, client=self.client, **fields)

    @staticmethod
    def model(name):
        """A type for requests or answers."""
        import node_client.models

        return getattr(node_client.models, name)


def compile_alike(folder):
    """The descriptors of the two packages, with all imports and comments."""
    own, shipped = Path(__file__).parent / "alike", Path(google.api.__path__[0]).parents[1]
    tools = Path(protoc.__file__).parent / "_proto"
    descriptors = f"{folder}/alike.bin"
    options = ["--include_imports", "--include_source_info", f"--descriptor_set_out={descriptors}"]
    folders = [f"-I{folder}" for folder in (own, shipped, tools)]
    equal(protoc.main(["protoc", *folders, *options, "v1.proto", "v2.proto"]), 0)
    return descriptors


@check
def the_documents_are_valid_openapi_3_1(context):
    for document in context["document"], context["alike"]:
        equal(document["openapi"].rsplit(".", 1)[0], "3.1")
        errors = OpenAPIV31SpecValidator(document).iter_errors()
        equal([f"{error.json_path}: {error.message}" for error in errors], [])


@check
def every_example_fits_its_schema(context):
    for document in context["document"], context["alike"]:
        count, errors = misfits(document)
        equal(errors, [])
        holds(count > 10, f"there are {count} examples")


@check
def no_rule_of_services_called_alike_is_lost(context):
    items = context["alike"]["paths"].values()
    operations = [operation for item in items for operation in item.values()]
    operations += [also for operation in operations for also in operation.get("x-also", [])]
    equal(len({operation["operationId"] for operation in operations}), 10)
    equal({operation["tags"][0] for operation in operations}, {"alike.v1.Shop", "alike.v2.Shop"})


@check
def every_operation_of_the_node_is_in_it(context):
    paths = context["document"]["paths"]
    described = {operation["x-grpc-method"] for item in paths.values() for operation in item.values()}
    listed = context["http"].get("/v1/operations", params={"pageSize": 1000}).json()["operations"]
    equal({f"/{each['service']}/{each['rpc']}" for each in listed} - described, set())


@check
def every_operation_tells_its_errors_apart_from_what_it_does(context):
    for path, item in context["document"]["paths"].items():
        for operation in item.values():
            responses = operation["responses"]
            holds("default" in responses, f"{path} has no default response")
            holds("INVALID_ARGUMENT" not in operation["description"], f"{path} hides its errors in its description")


@check
def a_generator_makes_a_client_without_a_warning(context):
    (GENERATED / "openapi.json").parent.mkdir(exist_ok=True)
    (GENERATED / "openapi.json").write_text(json.dumps(context["document"]))
    # No steps behind the generation: formatting needs another program, and nobody reads what comes out.
    (GENERATED / "config.yml").write_text("post_hooks: []\n")
    generated = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--overwrite"),
            *("--fail-on-warning", "--path", "openapi.json", "--config", "config.yml", "--output-path", "node_client"),
        ],
        cwd=GENERATED,
        capture_output=True,
        text=True,
        timeout=120,
    )
    equal((generated.returncode, generated.stderr), (0, ""))
    context["client"] = Generated(context["base"])


@check
def its_types_have_the_names_of_the_contract(context):
    client = context["client"]
    request = client.model("StartProcessRequest")(module="kv")
    equal(request.to_dict(), {"module": "kv"})
    equal(client.model("ChildSpecRestart").TRANSIENT.value, "TRANSIENT")


@check
def the_client_starts_a_process(context):
    client = context["client"]
    request = client.model("StartProcessRequest")(module="counter", name="counter", args={"initial": 41})
    answer = client.operation("process_service", "start_process")(body=request)
    equal((answer.status_code, answer.parsed.node), (200, "n1"))
    context["pid"] = answer.parsed.pid


@check
def the_client_calls_it(context):
    client = context["client"]
    body = client.model("MessagingServiceCallProcessBody")(message=["add", 1])
    answer = client.operation("messaging_service", "call_process")("counter", body=body)
    equal((answer.parsed.reply, answer.parsed.pid), (42, context["pid"]))


@check
def the_client_lists_by_a_filter(context):
    listing = context["client"].operation("introspection_service", "list_all_processes")
    found = listing(filter_='module == "counter"', page_size=10).parsed
    equal([(each.pid, each.registered_name) for each in found.processes], [(context["pid"], "counter")])
    equal(listing(filter_='module == "no such"').parsed.processes, [])


@check
def the_client_reads_a_stream_without_asking_for_a_form_of_it(context):
    # It reads a stream to its end, and this one has none but its deadline: time enough for what is there already.
    client = context["client"]
    answer = client.operation("introspection_service", "watch_processes")(request_timeout=5)
    equal((answer.status_code, type(answer.parsed).__name__), (200, "str"))
    *items, last = [json.loads(line) for line in answer.parsed.splitlines() if line]
    items = [client.model("WatchProcessesResponse").from_dict(item) for item in items]
    holds(context["pid"] in [item.process.pid for item in items if item.process], f"the items are {items}")
    equal(client.model("Error").from_dict(last).error.status, "DEADLINE_EXCEEDED")


@check
def an_error_reaches_the_client_as_what_the_document_says(context):
    client = context["client"]
    answer = client.operation("process_service", "start_process")(
        body=client.model("StartProcessRequest")(module="kv", name="counter")
    )
    equal((answer.status_code, type(answer.parsed).__name__), (409, "Error"))
    equal((answer.parsed.error.code, answer.parsed.error.status), (409, "ALREADY_EXISTS"))
    reasons = [each.additional_properties.get("reason") for each in answer.parsed.error.details]
    holds("ALREADY_STARTED" in reasons, f"the details say {reasons}")


@check
def the_client_deletes_and_then_finds_nothing(context):
    client = context["client"]
    unregister = client.operation("registry_service", "unregister_process")
    equal(unregister("counter").status_code, 200)
    again = unregister("counter")
    equal((again.status_code, again.parsed.error.status), (404, "NOT_FOUND"))


@check
def the_client_can_open_use_and_close_a_session(context):
    client = context["client"]
    opened = client.operation("session_service", "create_session")(
        body=client.model("CreateSessionRequest")(name="me", lease="60s")
    ).parsed
    body = client.model("MessagingServiceSendMessageBody")(message={"hello": ["you", 1]})
    equal(client.operation("messaging_service", "send_message")("me", body=body).status_code, 200)
    receive = client.model("SessionServiceReceiveMessagesBody")(max_=1)
    messages = client.operation("session_service", "receive_messages")(opened.session, body=receive).parsed.messages
    equal([(each.message, each.kind.value) for each in messages], [({"hello": ["you", 1]}, "INFO")])
    equal(client.operation("session_service", "close_session")(opened.session).status_code, 200)


with tempfile.TemporaryDirectory() as folder, Node() as node:
    # Only the document of the gateway is asked for: whatever it stands before.
    with Gateway(f"http://{node.grpc}", descriptors=compile_alike(folder)) as gateway:
        with httpx.Client(base_url=node.rest, timeout=WAIT_SECONDS, trust_env=False) as http:
            documents = {"document": node.rest, "alike": gateway.rest}
            documents = {name: http.get(f"{base}/openapi.json").json() for name, base in documents.items()}
            sys.exit(not check.run({"base": node.rest, "http": http, **documents}))
