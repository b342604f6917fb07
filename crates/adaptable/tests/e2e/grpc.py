"""A server of gRPC without generated code: its messages are bytes."""

import os
import time
from concurrent import futures

import grpc


def say(request, context):
    context.set_trailing_metadata((("x-served", "yes"),))
    return b"hello " + request


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()
        time.sleep(0.3)


def chat(requests, context):
    for request in requests:
        yield b"re: " + request


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


calls = {
    "Say": grpc.unary_unary_rpc_method_handler(say),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", calls),))
server.add_insecure_port("0.0.0.0:" + os.environ["PORT"])
server.start()
server.wait_for_termination()
