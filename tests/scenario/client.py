"""A client that says exactly what a test tells it to, over TLS or plain TCP."""
import json
import socket
import ssl


class Response:
    def __init__(self, status, reason, headers, body, raw):
        self.status, self.reason, self.headers, self.body, self.raw = status, reason, headers, body, raw

    def get(self, header, default=None):
        for n, v in self.headers:
            if n == header.lower():
                return v
        return default

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:200]!r}>"


class Gone(AssertionError):
    """The connection ended before a whole response."""


def context(identity=None, ca=None, low=None, high=None):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    if ca:
        ctx.load_verify_locations(ca)
        ctx.verify_mode = ssl.CERT_REQUIRED
    if identity:
        ctx.load_cert_chain(identity.cert, identity.key)
    if low:
        ctx.minimum_version = low
    if high:
        ctx.maximum_version = high
    return ctx


def pour(source, into):
    """All that comes from one socket goes into another, and so does the end."""
    try:
        while got := source.recv(65536):
            into.sendall(got)
        into.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Client:
    """One connection. Close it, or use it as a context manager."""

    def __init__(self, port, host=None, identity=None, tls=True, ctx=None, session=None, before=b"", seconds=20,
                 address="127.0.0.1", source=None):
        self.host = host
        self.sock = socket.create_connection((address, port), seconds, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""
        try:
            if before:
                self.sock.sendall(before)
            if tls:
                ctx = ctx or context(identity)
                self.sock = ctx.wrap_socket(self.sock, server_hostname=host, session=session)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def more(self):
        try:
            got = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
            raise Gone(repr(error)) from error
        self.buf += got
        return bool(got)

    def until(self, mark):
        while mark not in self.buf:
            if not self.more():
                raise Gone(f"closed after {self.buf!r}")
        out, _, self.buf = self.buf.partition(mark)
        return out

    def exactly(self, n):
        while len(self.buf) < n:
            if not self.more():
                raise Gone(f"closed {n - len(self.buf)} bytes early")
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def rest(self):
        """Everything until the other side closes."""
        try:
            while self.more():
                pass
        except Gone:
            pass
        out, self.buf = self.buf, b""
        return out

    def read(self, method="GET"):
        """The next response that is not 1xx."""
        while True:
            head = self.until(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            _, status, *reason = lines[0].split(" ", 2)
            headers = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
            response = Response(int(status), reason[0] if reason else "", headers, b"", head)
            if response.status >= 200 or response.status == 101:
                break
        if method == "HEAD" or response.status in (101, 204, 304):
            return response
        if (response.get("transfer-encoding") or "").lower() == "chunked":
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                response.body += self.exactly(size)
                self.exactly(2)
            while line := self.until(b"\r\n"):
                n, _, v = line.decode("latin-1").partition(":")
                response.headers.append((n.lower(), v.strip()))
        elif response.get("content-length") is not None:
            response.body = self.exactly(int(response.get("content-length")))
        else:
            response.body = self.rest()
        return response

    def write(self, method="GET", path="/", headers=(), body=None, host=None):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.host or 'localhost'}"]
        if body is not None and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{n}: {v}" for n, v in headers]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b""))

    def request(self, method="GET", path="/", headers=(), body=None, host=None):
        self.write(method, path, headers, body, host)
        return self.read(method)

    def get(self, path="/", *headers):
        return self.request("GET", path, headers)
