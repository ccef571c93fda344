"""HAProxy of Debian, as master and worker."""
import os
import signal

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
        file = os.path.join(self.dir, "denied.lst")
        with open(file, "w") as f:
            f.writelines(path + "\n" for path in self.denied)
        return {"rules": f"http-request deny deny_status 403 if {{ path -f {file} }}"}
