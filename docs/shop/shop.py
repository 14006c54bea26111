"""The service of docs/rest.md: knows gRPC, and nothing of REST.

    pip install grpcio-tools grpcio-reflection grpcio-health-checking googleapis-common-protos
    python docs/shop/shop.py

and, once it runs:

    ARSENAL_GATEWAY_DESCRIPTORS=reflection arsenal gateway --upstream http://127.0.0.1:50051 --listen 127.0.0.1:8090

Another port than 50051 is given as the first argument.
"""

import pathlib
import sys
from concurrent import futures

import grpc
from google.api import httpbody_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pb, pb_grpc = grpc.protos_and_services("shop.proto")
SERVICE = pb.DESCRIPTOR.services_by_name["Shop"].full_name


class Shop(pb_grpc.ShopServicer):
    def __init__(self):
        name = "shelves/1/books/2"
        self.books = {name: pb.Book(name=name, title="Persuasion", author="Jane Austen", etag="1")}
        self.covers = {}

    def find(self, name, context):
        if name not in self.books:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no `{name}`")
        return self.books[name]

    def GetBook(self, request, context):
        return self.find(request.name, context)

    def UpdateBook(self, request, context):
        book = self.find(request.book.name, context)
        if request.book.etag not in ("", book.etag):
            context.abort(grpc.StatusCode.ABORTED, f"`{book.name}` has the etag `{book.etag}`")
        print("update_mask:", list(request.update_mask.paths), flush=True)
        request.update_mask.MergeMessage(request.book, book)
        book.etag = str(int(book.etag) + 1)
        return book

    def AddBooks(self, requests, context):
        added = 0
        for book in requests:
            book.etag = "1"
            self.books[book.name] = book
            added += 1
        return pb.AddBooksResponse(added=added)

    def FollowPrices(self, request, context):
        for sequence in range(request.after + 1, request.after + request.count + 1):
            if sequence == request.fail_at:
                context.abort(grpc.StatusCode.DATA_LOSS, f"price {sequence} is lost")
            yield pb.Price(sequence=sequence, cents=995)

    def Haggle(self, requests, context):
        for offer in requests:
            if offer.cents > 995:
                context.abort(grpc.StatusCode.OUT_OF_RANGE, "it costs 995")
            yield pb.Price(sequence=offer.sequence, cents=(offer.cents + 995) // 2)

    def GetCover(self, request, context):
        self.find(request.name, context)
        return self.covers.get(request.name, httpbody_pb2.HttpBody(content_type="text/plain", data=b"no cover\n"))

    def PutCover(self, request, context):
        self.find(request.name, context)
        self.covers[request.name] = request.cover
        return pb.PutCoverResponse()

    def UploadScan(self, requests, context):
        answer = pb.UploadScanResponse()
        for piece in requests:
            answer.content_type = answer.content_type or piece.scan.content_type
            answer.bytes += len(piece.scan.data)
        return answer

    def GetFile(self, request, context):
        return request


def main(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    pb_grpc.add_ShopServicer_to_server(Shop(), server)
    checks = health.HealthServicer()
    for name in ("", SERVICE):
        checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(f"shop.v1.Shop at 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


main(sys.argv[1] if len(sys.argv) > 1 else "50051")
