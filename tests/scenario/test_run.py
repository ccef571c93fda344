"""./run as a newcomer meets it: it goes as told, what it prints can be pasted, and it leaves nothing behind."""
import os
import re
import signal
import subprocess
import threading

import pytest

from edge import ROOT, until


class Run:
    """./run with its output collected."""

    def __init__(self, *words):
        self.lines = []
        self.child = subprocess.Popen([os.path.join(ROOT, "run"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        threading.Thread(target=lambda: [self.lines.append(line.rstrip("\n")) for line in self.child.stdout], daemon=True).start()

    @property
    def text(self):
        return "\n".join(self.lines)

    def wait(self, words, seconds=90):
        def seen():
            assert self.child.poll() is None or words in self.text, self.text
            return words in self.text
        until(seen, seconds)

    def commands(self):
        """What "Try it" says, without its comments."""
        part = self.text.split("Try it")[1].split("Below:")[0]
        return [line.strip() for line in part.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]

    def end(self):
        self.child.send_signal(signal.SIGINT)
        assert self.child.wait(20) == 0, self.text
        directory = re.search(r"files +(\S+)", self.text)[1]
        assert not os.path.exists(directory)
        left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert directory not in left


def pasted(command):
    return subprocess.run(["bash", "-c", command + " -w '%{http_code}'" if command.startswith("curl") else command],
                          capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def running():
    started = []

    def start(*words):
        started.append(Run(*words))
        return started[-1]
    yield start
    for run in started:
        if run.child.poll() is None:
            run.child.terminate()
            run.child.wait(20)


def test_the_demonstration(running):
    run = running()
    run.wait("Below:")
    assert "NOT AS TOLD" not in run.text
    assert "it bites (403)" in run.text
    assert "in force it bites (403)" in run.text
    assert "of lock-1" in run.text
    enrol, call, without, rule, bite, why, line, judge, revoke, devices, records = run.commands()
    assert pasted(enrol).returncode == 0
    assert pasted(call).stdout.endswith("200")
    assert pasted(without).stdout.endswith("403")
    assert pasted(rule).returncode == 0
    assert pasted(bite).stdout.endswith("403")
    assert "no admin pages" in pasted(why).stdout
    assert pasted(line).stdout == "kept 10 bytes of lock-9\n"
    assert pasted(judge).returncode == 0
    assert pasted(revoke).returncode == 0
    assert "camera-3" in pasted(devices).stdout
    assert "Shellshock" in pasted(records).stdout
    run.end()
    assert "All as told. Everything is stopped." in run.text


def test_for_seconds(running):
    run = running("--for", "8")
    assert run.child.wait(60) == 0, run.text
    assert "Everything is stopped." in run.text


def test_own_origin(running, origin):
    run = running("--origin", origin.url, "--host", "shop.example.test")
    run.wait("Below:")
    call, nobody, another, rule, bite, revoke = run.commands()
    assert pasted(call).stdout.endswith("200") and origin.requests[-1].get("host").startswith("shop.example.test")
    assert pasted(nobody).stdout.endswith("403")
    assert pasted(another).returncode == 0 and pasted(rule).returncode == 0
    assert pasted(bite).stdout.endswith("403")
    assert pasted(revoke).returncode == 0
    assert pasted(call).stdout.endswith("403")
    run.end()


def test_own_origin_that_is_down(running):
    run = running("--origin", "http://127.0.0.1:1", "--host", "shop.example.test", "--for", "6")
    assert run.child.wait(60) == 1
    assert "NOT AS TOLD" in run.text


@pytest.mark.parametrize("words", [["--origin", "http://127.0.0.1:1"], ["--host", "a.test"], ["--origin", "nonsense", "--host", "a.test"], ["--nonsense"]])
def test_usage(running, words):
    assert running(*words).child.wait(60) == 2
