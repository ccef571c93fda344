"""HAProxy of Debian, as master and worker."""
import os
import signal
import socket

import harness

from .peer import Peer


class Haproxy(Peer):
    kind = "haproxy"
    suffix = ".cfg"

    def command(self):
        return ["haproxy", "-W", "-f", self.config]

    def reload(self):
        self.child.send_signal(signal.SIGUSR2)

    def rules(self):
        if not self.denied:
            return {"rules": ""}
        with open(self.acl(), "w") as f:
            f.writelines(path + "\n" for path in self.denied)
        return {"rules": f"http-request deny deny_status 403 if {{ path -f {self.acl()} }}"}

    def acl(self):
        return os.path.join(self.dir, "denied.lst")

    def add_path(self, path):
        """Refuse one path more, by the runtime interface."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.dir, "haproxy.sock"))
            s.sendall(f"add acl {self.acl()} {path}\n".encode())
            answer = s.recv(1000).strip()
        if answer:
            raise harness.Failed(f"HAProxy: {answer.decode()}")
