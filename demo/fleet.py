"""Devices: real TLS clients with certificates, each on one kept-alive connection that it opens again when it must."""
import http.client
import json
import random
import socket
import ssl
import threading

CONNECT_SECONDS = 10


class Connection(http.client.HTTPSConnection):
    """To a port of this machine, whatever the name."""

    def __init__(self, port, host, ca=None, cert=None, key=None):
        context = ssl.create_default_context(cafile=ca)
        if cert:
            context.load_cert_chain(cert, key)
        super().__init__(host, port, context=context, timeout=CONNECT_SECONDS)

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = self._context.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise

    def ask(self, method, path, headers=None, body=None):
        """(status, body), or (0, why) where the connection failed."""
        try:
            self.request(method, path, body, headers or {})
            answer = self.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return 0, str(error) or type(error).__name__


class Device(threading.Thread):
    """Sends a reading about every `pace` seconds until told to stop."""

    def __init__(self, name, connection, pace=1.0):
        super().__init__(name=name, daemon=True)
        self.connection, self.pace = connection, pace
        self.last = None           # status of the last reading
        self.accepted = self.other = 0
        self.turn = threading.Lock()
        self.done = threading.Event()
        self.value = random.uniform(18, 24)

    def run(self):
        while not self.done.wait(self.pace * random.uniform(0.7, 1.3)):
            self.value += random.uniform(-0.2, 0.2)
            body = json.dumps({"device": self.name, "celsius": round(self.value, 2)})
            self.last, _ = self.ask("POST", "/readings", {"Content-Type": "application/json"}, body)
            if self.last == 200:
                self.accepted += 1
            else:
                self.other += 1
        self.connection.close()

    def ask(self, method, path, headers=None, body=None):
        """Over the device's own connection, between two readings; once more where it had closed meanwhile."""
        with self.turn:
            status, text = self.connection.ask(method, path, headers, body)
            return (status, text) if status else self.connection.ask(method, path, headers, body)
