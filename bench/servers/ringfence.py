"""The edge itself: booted from a file, configured through its API on the Unix socket."""
import http.client
import json
import os
import socket
import subprocess
import time

import harness

HOST = "bench.test"


class Api(http.client.HTTPConnection):
    """The REST API over the Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        """The `result` of the answer; `body` is an object, or JSON text already."""
        text = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
        self.request(method, "/client/v4" + path, text, {"Content-Type": "application/json"})
        answer = self.getresponse()
        document = json.loads(answer.read() or b"{}")
        if answer.status >= 300 or not document.get("success"):
            raise harness.Failed(f"{method} {path}: {answer.status} {document.get('errors')}")
        return document.get("result")


class Ringfence:
    kind = name = "ringfence"
    tuned = True

    @staticmethod
    def available(lab):
        program = os.path.join(lab.build, "ringfenced")
        if not os.path.exists(program):
            return False
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        return answer.stdout.startswith("ringfenced")
