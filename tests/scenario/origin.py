"""An origin for the tests: it keeps the raw bytes of what it gets, and answers as told.

A path chooses the answer: see ANSWERS. `plain` requests get 200 and a JSON body that repeats what came. It reads
framing loosely on purpose (either kind of line end, any Transfer-Encoding with "chunked" in it), as careless
origins do, so that what a strict edge lets through by mistake becomes a request here.
"""
import json
import re
import socket
import ssl
import threading

from edge import PATIENCE, free_port


class Request:
    """One request as the origin understood it."""

    def __init__(self, raw, head, body):
        self.raw, self.body = raw, body
        lines = re.split(rb"\r?\n", head)
        parts = (lines[0].decode("latin-1").split(" ") + ["", ""])[:3]
        self.method, self.target, self.version = parts
        self.path = self.target.split("?")[0]
        self.headers = [(n.strip().lower(), v.strip()) for n, _, v in
                        (line.decode("latin-1").partition(":") for line in lines[1:] if line)]

    def all(self, header):
        return [v for n, v in self.headers if n == header.lower()]

    def get(self, header, default=None):
        found = self.all(header)
        return found[0] if found else default


class Origin:
    """Listens on a free port of 127.0.0.1; close() ends it and all its connections."""

    def __init__(self, tls=None, client_ca=None):
        self.requests = []
        self.connections = 0
        self.sent_bodies = 0
        self.bytes = []            # one bytearray a connection
        self.answer = None         # callable(request) -> bytes, instead of the table
        self.changed = threading.Condition()
        self.release = threading.Event()
        self.live = set()
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(tls.cert, tls.key)
            if client_ca:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(client_ca)
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.live.add(sock)
        try:
            if self.context:
                self.live.discard(sock)
                sock = self.context.wrap_socket(sock, server_side=True)
                self.live.add(sock)
            with self.changed:
                self.connections += 1
                kept = bytearray()
                self.bytes.append(kept)
            reader = Reader(sock, kept)
            while True:
                request = reader.request(sock)
                if request is None or not self.reply(sock, request, reader):
                    return
        except (OSError, ValueError):
            pass
        finally:
            self.live.discard(sock)
            sock.close()

    def reply(self, sock, request, reader):
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        if self.answer:
            answer = self.answer(request)
            if answer is None:
                return False
            sock.sendall(answer)
            return True
        verb = request.path.strip("/").split("/")
        handler = ANSWERS.get(verb[0], plain)
        return handler(self, sock, request, reader, verb[1:])

    def wait(self, count=1, seconds=PATIENCE):
        """Until `count` requests have come; those requests."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.requests) >= count, seconds):
                raise AssertionError(f"the origin has {len(self.requests)} requests, not {count}")
            return list(self.requests)

    def clear(self):
        with self.changed:
            self.requests.clear()
            self.bytes.clear()

    def stop(self):
        """No new connections, and none of the old: the port refuses."""
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)
        for sock in list(self.live):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.release.set()

    def start(self):
        """Again on the same port."""
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()


class Reader:
    """Splits a stream into requests, loosely."""

    def __init__(self, sock, kept):
        self.sock, self.kept, self.buf = sock, kept, b""

    def more(self):
        got = self.sock.recv(65536)
        self.kept += got
        self.buf += got
        return bool(got)

    def until(self, pattern):
        while not (found := re.search(pattern, self.buf)):
            if not self.more():
                return None
        out, self.buf = self.buf[:found.end()], self.buf[found.end():]
        return out

    def exactly(self, n):
        while len(self.buf) < n:
            if not self.more():
                raise ValueError("the client left early")
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def request(self, sock):
        head = self.until(rb"\r?\n\r?\n")
        if head is None:
            return None
        request = Request(head, head.rstrip(b"\r\n"), b"")
        if "100-continue" in request.get("expect", "").lower():
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        coding = ",".join(request.all("transfer-encoding")).lower()
        if "chunked" in coding:
            request.body = self.chunks(request)
        elif request.get("content-length"):
            request.body = self.exactly(int(request.get("content-length")))
        return request

    def chunks(self, request):
        body = b""
        while True:
            line = self.until(rb"\n")
            if line is None:
                raise ValueError("the client left early")
            size = int(line.split(b";")[0].strip() or b"0", 16)
            if not size:
                break
            body += self.exactly(size)
            self.until(rb"\n")
        request.trailers = self.until(rb"^\r?\n|\r?\n\r?\n")
        return body


def message(status, body=b"", headers=(), reason="OK"):
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\n"
    return (head + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n").encode() + body


def plain(_origin, sock, request, _reader, _words):
    body = json.dumps({"method": request.method, "target": request.target, "headers": request.headers,
                       "body": request.body.decode("latin-1")}).encode()
    sock.sendall(message(200, b"" if request.method == "HEAD" else body, [("Content-Type", "application/json")]))
    return True


def status(_origin, sock, _request, _reader, words):
    sock.sendall(message(int(words[0]), b"" if words[0] in ("204", "304") else b"as asked\n"))
    return True


def hang(origin, _sock, _request, _reader, _words):
    origin.release.wait(60)
    return False


def close(_origin, _sock, _request, _reader, _words):
    return False


def nonsense(_origin, sock, _request, _reader, _words):
    sock.sendall(b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
    return False


def short(_origin, sock, _request, _reader, _words):
    """Announces more than it sends."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
    return False


def head_only(_origin, sock, _request, _reader, _words):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Len")
    return False


def both(_origin, sock, _request, _reader, _words):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    return False


def big(_origin, sock, _request, _reader, words):
    """So many bytes of text that compresses well."""
    body = (b"the quick brown fox jumps over the lazy dog. " * (int(words[0]) // 45 + 1))[:int(words[0])]
    sock.sendall(message(200, body, [("Content-Type", "text/plain")]))
    return True


def chunked(_origin, sock, _request, _reader, _words):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                 b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n")
    return True


def endless(origin, sock, _request, _reader, _words):
    """A body without end, until the edge stops reading it or goes."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n")
    block = bytes(65536)
    while True:
        sock.sendall(block)
        origin.sent_bodies += len(block)


def echo_socket(_origin, sock, request, reader, _words):
    """The smallest server of WebSocket: accepts, then repeats every byte."""
    import base64
    import hashlib
    magic = request.get("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(magic.encode()).digest()).decode()
    sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
    while True:
        if not reader.buf and not reader.more():
            return False
        sock.sendall(reader.buf)
        reader.buf = b""


ANSWERS = {"status": status, "hang": hang, "close": close, "nonsense": nonsense, "short": short, "head-only": head_only,
           "both": both, "big": big, "chunked": chunked, "endless": endless, "socket": echo_socket}
