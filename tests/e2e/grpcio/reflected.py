"""A client of any service, from what server reflection tells."""

import grpc
from arsenal_e2e import WAIT_SECONDS
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Reflected:
    """The services behind a channel; each call has a deadline unless it brings its own."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, name):
        """The class of a message, by its full name."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def method(self, service, name):
        """What calls a method. A unary request may be given by its fields."""
        method = self.pool.FindServiceByName(service).methods_by_name[name]
        request, response = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        call = getattr(self.channel, kind)(
            f"/{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

        def called(requests=None, timeout=WAIT_SECONDS, **fields):
            return call(requests if requests is not None else request(**fields), timeout=timeout)

        called.with_call = lambda timeout=WAIT_SECONDS, **fields: call.with_call(request(**fields), timeout=timeout)
        return called


def insecure_channel(address):
    """A channel that no proxy of the environment touches."""
    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
