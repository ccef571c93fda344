"""nginx of Debian."""
import signal

from .peer import Peer


class Nginx(Peer):
    kind = "nginx"
    suffix = ".conf"

    def command(self):
        return ["nginx", "-p", self.dir, "-c", self.config, "-g", "daemon off;"]

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def rules(self):
        if not self.denied:
            return {"map": "", "rules": ""}
        lines = "\n".join(f"{path} 1;" for path in self.denied)
        return {"map": f"map_hash_max_size 400000;\nmap $uri $denied {{\n{lines}\n}}",
                "rules": "if ($denied) { return 403; }"}
