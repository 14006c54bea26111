"""The service: a stock `grpcio` server with health and reflection, and the descriptors of its proto."""

import sys
import threading
from collections import Counter
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from grpc_tools import protoc


class Server:
    """Listens on a free port; `descriptors` is the path of what it was compiled to."""

    def __init__(self, folder):
        self.descriptors = f"{folder}/shop.bin"
        compile_into(folder, self.descriptors)
        sys.path.insert(0, folder)
        import shop_pb2
        import shop_pb2_grpc

        self.messages = shop_pb2
        self.asked = Counter()
        self.stopping = threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
        shop_pb2_grpc.add_ShopServicer_to_server(servicer(self, shop_pb2_grpc.ShopServicer), self.server)
        told = health.HealthServicer()
        told.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(told, self.server)
        reflection.enable_server_reflection(["shop.v1.Shop", reflection.SERVICE_NAME], self.server)
        self.url = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def pause(self, seconds, context):
        """Says nothing for so long, unless the call ends or the server stops."""
        ended = threading.Event()
        if not context.add_callback(ended.set):
            return
        # No event waits for another: one look a tick.
        for _ in range(seconds * 10):
            if self.stopping.is_set() or ended.wait(0.1):
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.server.stop(None).wait()


def compile_into(folder, descriptors):
    """Compiles the proto to what Python runs, and to a set of descriptors with all its imports."""
    import google.api
    import grpc_tools

    here = Path(__file__).parent
    imports = [here, Path(list(google.api.__path__)[0]).parents[1], Path(grpc_tools.__file__).parent / "_proto"]
    code = protoc.main(
        [
            "protoc",
            *(f"--proto_path={path}" for path in imports),
            f"--python_out={folder}",
            f"--grpc_python_out={folder}",
            f"--descriptor_set_out={descriptors}",
            "--include_imports",
            "shop.proto",
        ]
    )
    if code != 0:
        raise RuntimeError(f"the proto cannot be compiled: protoc ended with code {code}")


def servicer(server, base):
    """The service, over the classes that were made from the proto."""
    Item = server.messages.Item

    class Shop(base):
        def GetItem(self, request, context):
            server.asked[request.name] += 1
            if request.name == "items/none":
                context.abort_with_status(rpc_status.to_status(not_found(request.name)))
            server.pause(request.seconds, context)
            return Item(name=request.name, price=7)

        def FollowItems(self, request, context):
            yield Item(name="items/1", price=1)
            server.pause(request.seconds, context)
            yield Item(name="items/2", price=2)

        def AddItems(self, requests, context):
            return server.messages.AddItemsResponse(count=sum(1 for _ in requests))

        def Haggle(self, requests, context):
            for item in requests:
                yield Item(name=item.name, price=item.price - 1)

    return Shop()


def not_found(name):
    """A status with details, as a service of Google's would have it."""
    details = [
        error_details_pb2.ErrorInfo(reason="ITEM_GONE", domain="shop.example.com", metadata={"item": name}),
        error_details_pb2.ResourceInfo(resource_type="shop.v1.Item", resource_name=name),
    ]
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code_pb2.NOT_FOUND, message=f"there is no {name}", details=packed)
