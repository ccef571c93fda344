"""What the peers have in common: a template of a configuration, one process tree."""
import os
import string
import subprocess

import harness


class Peer:
    kind = None
    suffix = None

    def __init__(self, tuned, denied=()):
        self.tuned = tuned
        self.denied = denied  # paths that rules refuse
        self.name = f"{self.kind}-{'tuned' if tuned else 'default'}"
        self.port = None
        self.child = None
        self.lab = None
        self.config = None
        self.dir = None

    def write_config(self):
        with open(os.path.join(harness.HERE, "peers", self.name + self.suffix)) as f:
            text = string.Template(f.read())
        with open(self.config, "w") as f:
            f.write(text.substitute(dir=self.dir, pki=self.lab.pki, port=self.port, origin=self.lab.origin_port,
                                    **self.rules()))

    def rules(self):
        """The places of the template that hold rules, for self.denied, in the form that suits the peer best."""
        raise NotImplementedError

    def start(self, lab, wrapper=()):
        self.lab = lab
        self.port = lab.port()
        self.dir = os.path.join(lab.dir, f"{self.name}-{self.port}")
        os.makedirs(self.dir)
        self.config = os.path.join(self.dir, "server" + self.suffix)
        self.write_config()
        self.child = lab.spawn([*wrapper, *self.command()], cpu=harness.SERVER_CPU, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        harness.wait_port(self.port, self.child)

    def command(self):
        raise NotImplementedError

    def pids(self):
        return harness.family(self.child.pid)

    def stop(self):
        self.lab.stop(self.child)
