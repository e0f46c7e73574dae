"""A language server client and a private home for daemons, for the tests beside this module."""

import array
import fcntl
import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
CARETD = os.environ.get("CARETD", str(ROOT / "build/release/bin/caretd"))
URI = "file:///project/config.py"
TEXT = ('import json\n\n\ndef save_config(path, config):\n    """Write a configuration as JSON."""\n'
        '    with open(path, "w") as f:\n        \n')
HOLE = {"line": 6, "character": 8}
# The right answer of the embedded model for TEXT at HOLE.
ANSWER = "json.dump(config, f, indent=2)"
FULL = os.environ.get("CARETD_LIFE_FULL") == "1"
PATIENCE = 60  # seconds for what takes one on a machine that does nothing else


class Home:
    """Folders of a user who has nothing running; ends what was started in them."""

    def __init__(self, **variables):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="caretd-life-"))
        run = self.folder / "run"
        run.mkdir(mode=0o700)
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("CARETD_", "XDG_"))}
        self.environment = {**kept, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(run),
                            "CARETD_MODEL_DEVICE": "cpu",
                            # A busy machine must not cut answers short.
                            "CARETD_COMPLETION_TIME_BUDGET_MS": "60000", **variables}
        self.clients = []
        self.socket = run / "caretd/daemon.sock"

    def run(self, *arguments, check=True):
        return subprocess.run([CARETD, *arguments], env=self.environment, capture_output=True,
                              text=True, timeout=2 * PATIENCE, check=check)

    def status(self):
        answer = self.run("daemon", "status", "--json", check=False)
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def daemon_pids(self):
        """Processes of this home that are daemons, by their environment."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                variables = (entry / "environ").read_bytes()
            except OSError:
                continue
            mine = str(self.folder).encode() in variables
            if mine and b"daemon" in words and b"run" in words:
                found.append(int(entry.name))
        return found

    def close(self):
        for client in self.clients:
            client.process.kill()
            client.process.wait()
            client.reader.join()
            client.process.stdin.close()
            client.process.stdout.close()
        self.run("daemon", "stop", check=False)
        for pid in self.daemon_pids():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client:
    """One editor: starts `caretd lsp` and speaks the protocol over its stdio."""

    def __init__(self, home, *arguments, cwd=None):
        self.process = subprocess.Popen([CARETD, "lsp", *arguments], env=home.environment, cwd=cwd,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        home.clients.append(self)
        self.next_id = 0
        self.answers = {}
        self.duplicates = 0
        self.messages = []
        self.faults = []  # errors that belong to no request
        self.arrived = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        stream = self.process.stdout
        while True:
            length = None
            for line in iter(stream.readline, b"\r\n"):
                if not line:
                    with self.arrived:
                        self.answers[None] = None
                        self.arrived.notify_all()
                    return
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            message = json.loads(stream.read(length))
            with self.arrived:
                if "method" in message:
                    self.messages.append(message)
                    if "id" in message:
                        self._send({"jsonrpc": "2.0", "id": message["id"], "result": None})
                elif message["id"] is None:
                    self.faults.append(message)
                elif message["id"] in self.answers:
                    self.duplicates += 1
                else:
                    self.answers[message["id"]] = message
                self.arrived.notify_all()

    def _send(self, message):
        body = json.dumps(message).encode()
        try:
            self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def notify(self, method, params):
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method, params):
        self.next_id += 1
        self._send({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params})
        return self.next_id

    def wait(self, request, timeout=PATIENCE):
        with self.arrived:
            done = self.arrived.wait_for(lambda: request in self.answers or None in self.answers,
                                         timeout)
            if not done or request not in self.answers:
                raise TimeoutError(f"request {request} was not answered")
            return self.answers[request]

    def call(self, method, params, timeout=PATIENCE):
        return self.wait(self.ask(method, params), timeout)

    def wait_until_passed_on(self):
        """Until the relay has read everything, written it to its daemon, and waits for more."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            unread = array.array("i", [0])
            fcntl.ioctl(self.process.stdin, termios.FIONREAD, unread)
            state = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
            if unread[0] == 0 and state.split()[0] == "S":
                return
            time.sleep(0.01)
        raise TimeoutError("the relay does not read")

    def initialize(self, **params):
        """The result of `initialize`; `params` are added to its parameters."""
        answer = self.call("initialize", {"processId": None, "capabilities": {}, **params})
        self.notify("initialized", {})
        return answer["result"]

    def open(self, text=TEXT, uri=URI):
        self.notify("textDocument/didOpen", {"textDocument": {
            "uri": uri, "languageId": "python", "version": 1, "text": text}})

    def complete(self, position=None, uri=URI, timeout=PATIENCE):
        """The text of the first inline completion; None where there is none."""
        answer = self.call("textDocument/inlineCompletion", {
            "textDocument": {"uri": uri}, "position": position or HOLE,
            "context": {"triggerKind": 1}}, timeout)
        result = answer.get("result")
        items = result.get("items", []) if isinstance(result, dict) else result or []
        return items[0]["insertText"] if items else None

    def complete_when_ready(self, timeout=PATIENCE, **arguments):
        """Asks again while the model loads or a daemon is being replaced."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            text = self.complete(**arguments)
            if text is not None:
                return text
            time.sleep(0.05)
        raise TimeoutError("no completion")

    def shown(self):
        """What the user was shown so far."""
        return " ".join(message["params"]["message"] for message in self.messages
                        if message["method"] == "window/showMessage")

    def progress_bars(self):
        """How often a progress bar was asked for so far. What loads quickly is over before it is drawn."""
        return len([message for message in self.messages
                    if message["method"] == "window/workDoneProgress/create"])

    def close(self):
        self.call("shutdown", None)
        self.notify("exit", None)
        self.process.stdin.close()
        return self.process.wait(timeout=PATIENCE)


class Peer:
    """A connection to the daemon without a relay. `welcome` is the answer to its hello."""

    def __init__(self, connected, token=None, environment=None):
        self.socket = connected
        self.stream = connected.makefile("rwb")
        hello = {"caretd": version(), "for": "session", "environment": environment or {},
                 **({"token": token} if token else {})}
        self.stream.write(json.dumps(hello).encode() + b"\n")
        self.stream.flush()
        self.welcome = json.loads(self.stream.readline())

    @staticmethod
    def of(home):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(str(home.socket))
        # As a relay does, whose variables hold for its session.
        return Peer(connected, environment={name: value for name, value in home.environment.items()
                                            if name.startswith("CARETD_")})

    def send(self, *messages):
        for message in messages:
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            self.stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.stream.flush()

    def next_answer(self):
        """The next answer; notifications and requests before it are skipped."""
        while True:
            length = 0
            while line := self.stream.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            message = json.loads(self.stream.read(length))
            if "method" not in message:
                return message

    def receive(self, request):
        """The answer to the only request that is open."""
        answer = self.next_answer()
        assert answer["id"] == request, answer
        return answer

    def initialize(self):
        self.send({"id": 0, "method": "initialize", "params": {"capabilities": {}}})
        self.receive(0)
        self.send({"method": "initialized", "params": {}})

    def close(self):
        try:
            self.stream.close()
        except OSError:
            pass  # unsent bytes of a flood
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def open_message(uri=URI, text=TEXT):
    return {"method": "textDocument/didOpen", "params": {"textDocument": {
        "uri": uri, "languageId": "python", "version": 1, "text": text}}}


def completion_message(request, uri=URI, position=None):
    return {"id": request, "method": "textDocument/inlineCompletion", "params": {
        "textDocument": {"uri": uri}, "position": position or HOLE, "context": {"triggerKind": 1}}}


@functools.cache
def version():
    return subprocess.run([CARETD, "--version"], capture_output=True, text=True,
                          check=True).stdout.split()[1]
