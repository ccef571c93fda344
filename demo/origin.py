"""The demonstration's origin: takes readings, says who sent them. Knows nothing of certificates: the edge tells it.

    python3 demo/origin.py        listens on a free port of 127.0.0.1 and prints it
"""
import http.server
import json
import signal
import socket
import sys
import threading

COUNTS, LOCK = {}, threading.Lock()


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(size)
        who = self.headers.get("X-Device", "nobody")
        with LOCK:
            COUNTS[who] = COUNTS.get(who, 0) + 1
            count = COUNTS[who]
        body = json.dumps({"origin": "demo", "hello": who, "certificate": self.headers.get("Ringfence-Client-Cert-Status"),
                           "you asked for": self.path, "requests so far": count}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Server(("127.0.0.1", 0), Origin)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
