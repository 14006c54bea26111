"""Every kind of call, errors with their details, deadlines, limits and health, over the protos that the node reflects."""

import queue
import sys

import grpc
from arsenal_e2e import WAIT_SECONDS, Checks, Node, equal, holds, raises
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from reflected import Reflected, insecure_channel

check = Checks()

PROCESS = "arsenal.v1.ProcessService"
MESSAGING = "arsenal.v1.MessagingService"
INTROSPECTION = "arsenal.v1.IntrospectionService"
SESSION = "arsenal.v1.SessionService"


def value(python):
    """A google.protobuf.Value as fields of a request."""
    if isinstance(python, list):
        return {"list_value": {"values": [value(each) for each in python]}}
    return {"number_value": python} if isinstance(python, (int, float)) else {"string_value": python}


def plain(message):
    """A message as what JSON would show."""
    return json_format.MessageToDict(message)


@check
def reflection_lists_the_services_and_tells_their_rest_rules(node):
    services = set(node.database.get_services())
    wanted = {"Process", "Supervisor", "Introspection", "Messaging", "Registry", "Session"}
    equal(wanted - {name.removeprefix("arsenal.v1.").removesuffix("Service") for name in services}, set())
    kill = node.pool.FindServiceByName(PROCESS).methods_by_name["KillProcess"]
    holds(b"/v1/processes/{process}:kill" in kill.GetOptions().SerializeToString(), "the option google.api.http is lost")


@check
def a_process_starts_and_answers_a_call(node):
    started, call = node.method(PROCESS, "StartProcess").with_call(module="counter", name="counter")
    holds(started.pid, "no pid")
    holds("arsenal-operation-id" in dict(call.initial_metadata()), "no operation id")
    answer = node.method(MESSAGING, "CallProcess")(process="counter", message=value(["add", 41]))
    equal((answer.reply.number_value, answer.pid), (41, started.pid))


@check
def a_payload_may_be_bytes(node):
    node.method(PROCESS, "StartProcess")(module="echo", name="echo")
    raw = bytes(range(256)) * 16
    equal(node.method(MESSAGING, "CallProcess")(process="echo", message_bytes=raw).reply_bytes, raw)


@check
def a_server_stream_shows_even_the_briefest_life(node):
    stream = node.method(INTROSPECTION, "WatchProcesses")(filter='registered_name == "brief"')
    # Nothing matches yet; from here on it follows.
    equal(plain(next(stream))["kind"], "SNAPSHOT_END")
    pid = node.method(PROCESS, "StartProcess")(module="kv", name="brief").pid
    node.method(PROCESS, "KillProcess")(process="brief")
    seen = []
    for item in stream:
        seen.append((plain(item)["kind"], item.process.pid))
        if seen[-1][0] == "EXITED":
            break
    stream.cancel()
    equal({told for _, told in seen}, {pid})


@check
def a_session_is_a_process_on_a_stream(node):
    """Opens, calls, is sent to, monitors, and closes: each frame answered on the same stream."""
    frame = node.message("arsenal.v1.OpenSessionRequest")
    frames = queue.Queue()
    stream = node.method(SESSION, "OpenSession")(iter(frames.get, None))

    def until(kind):
        item = next(item for item in stream if item.WhichOneof("frame") == kind)
        return getattr(item, kind)

    frames.put(frame(open={"name": "me"}))
    session = until("opened")
    equal((session.name, session.stream), ("me", True))
    frames.put(frame(id=1, call={"process": "counter", "message": value(["add", 1])}))
    result = until("result")
    equal((result.id, result.reply.number_value), (1, 42))

    node.method(MESSAGING, "SendMessage")(process="me", message=value("hello"))
    delivery = until("delivery")
    equal((plain(delivery)["kind"], delivery.message.string_value), ("INFO", "hello"))

    victim = node.method(PROCESS, "StartProcess")(module="kv").pid
    frames.put(frame(id=2, monitor={"process": victim}))
    monitor = until("result").monitor
    node.method(PROCESS, "KillProcess")(process=victim)
    down = until("delivery")
    equal((plain(down)["kind"], down.monitor, down.reason.string_value), ("DOWN", monitor, "killed"))

    frames.put(frame(id=3, call={"process": "nobody", "message": value("get")}))
    equal(until("result").error.code, grpc.StatusCode.NOT_FOUND.value[0])

    frames.put(frame(close={}))
    equal(until("closed").reason.string_value, "normal")
    equal(list(stream), [])
    equal(stream.code(), grpc.StatusCode.OK)
    frames.put(None)


@check
def a_stream_that_breaks_ends_its_session(node):
    frame = node.message("arsenal.v1.OpenSessionRequest")
    frames = queue.Queue()
    frames.put(frame(open={"name": "gone"}))
    stream = node.method(SESSION, "OpenSession")(iter(frames.get, None))
    pid = next(stream).opened.pid
    watch = node.method(INTROSPECTION, "WatchProcesses")(filter=f'pid == "{pid}"')
    equal(plain(next(watch))["kind"], "SNAPSHOT")
    stream.cancel()
    frames.put(None)
    holds(any(plain(item)["kind"] == "EXITED" for item in watch), "the session went on")
    watch.cancel()
    record = node.method(PROCESS, "GetExit")(process=pid)
    equal(record.reason.string_value, "noconnection")


@check
def an_error_carries_its_details(node):
    with raises(grpc.RpcError) as raised:
        node.method(PROCESS, "StartProcess")(module="kv", name="counter")
    equal(raised.error.code(), grpc.StatusCode.ALREADY_EXISTS)
    details = {each.type_url.rsplit("/")[-1]: each for each in rpc_status.from_call(raised.error).details}
    info = error_details_pb2.ErrorInfo()
    details["google.rpc.ErrorInfo"].Unpack(info)
    equal((info.reason, info.domain), ("ALREADY_STARTED", "arsenal"))
    exit_detail = node.message("arsenal.v1.ExitDetail").FromString(details["arsenal.v1.ExitDetail"].value)
    holds(exit_detail.process.startswith("n1."), f"the holder is {exit_detail.process!r}")


@check
def a_deadline_ends_a_call_that_nobody_answers(node):
    with raises(grpc.RpcError) as raised:
        node.method(MESSAGING, "CallProcess")(process="counter", message=value("noreply"), timeout=0.2)
    equal(raised.error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


@check
def too_large_a_message_is_refused_and_the_connection_lives(node):
    call = node.method(MESSAGING, "CallProcess")
    # More than a request may have, then more than a message between processes may.
    for size in [5 << 20, 3 << 20]:
        with raises(grpc.RpcError) as raised:
            call(process="echo", message_bytes=bytes(size))
        equal(raised.error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    equal(len(call(process="echo", message_bytes=bytes(1 << 20)).reply_bytes), 1 << 20)


@check
def an_unknown_method_is_unimplemented(node):
    with raises(grpc.RpcError) as raised:
        node.channel.unary_unary(f"/{PROCESS}/NoSuchMethod")(b"", timeout=WAIT_SECONDS)
    equal(raised.error.code(), grpc.StatusCode.UNIMPLEMENTED)


@check
def the_node_is_healthy_as_a_whole(node):
    health = health_pb2_grpc.HealthStub(node.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
    equal(answer.status, health_pb2.HealthCheckResponse.SERVING)


@check
def a_stop_is_told_to_who_follows_before_the_connection_ends(_):
    """On a node of its own, as this one ends it."""
    with Node() as parting, insecure_channel(parting.grpc) as channel:
        node = Reflected(channel)
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
        equal(next(health).status, health_pb2.HealthCheckResponse.SERVING)
        follow = node.method(INTROSPECTION, "WatchProcesses")()
        equal(plain(next(follow))["kind"], "SNAPSHOT_END")
        equal(parting.stop(), 0)
        equal(next(health).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        with raises(grpc.RpcError) as raised:
            list(follow)
        equal(raised.error.code(), grpc.StatusCode.UNAVAILABLE)
        holds("stop" in raised.error.details(), f"told only {raised.error.details()!r}")


with Node() as started, insecure_channel(started.grpc) as connected:
    sys.exit(not check.run(Reflected(connected)))
