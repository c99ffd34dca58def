# requires: grpcio
from concurrent.futures import ThreadPoolExecutor

import grpc

server = grpc.server(ThreadPoolExecutor(1))
calls = {"Echo": grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", calls)])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    assert channel.unary_unary("/test.Test/Echo")(b"abc", timeout=20) == b"cba"
server.stop(None).wait()
