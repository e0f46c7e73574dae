"""A small language client for tests: starts a program and talks to it over its stdio."""

import json
import os
import queue
import subprocess
import threading


# Without it a busy machine's suggestions are cut short, and what they are is what is tested.
UNHURRIED = {"CARETD_COMPLETION_TIME_BUDGET_MS": "60000"}


def private_environment(folder, **more):
    """The environment of a user who has nothing but that folder; `more` is added to it."""
    own = ("CARETD_", "XDG_")
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(own) and name.lower() not in proxies}
    folders = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    return {**kept, **dict.fromkeys(folders, str(folder)), **more}


class LanguageClient:
    """Requests and notifications over pipes. Every wait has a limit, so a test never hangs."""

    PATIENCE = 120.0

    def __init__(self, command, cwd=None, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd=cwd, env=env)
        self.messages = queue.Queue()
        self.kept = []
        self.log = []
        self.next_id = 0
        self.versions = {}
        self.readers = [threading.Thread(target=read, daemon=True)
                        for read in (self._read, self._read_log)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        out = self.process.stdout
        while True:
            length = 0
            while line := out.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if not length:
                self.messages.put(None)
                return
            self.messages.put(json.loads(out.read(length)))

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.decode(errors="replace"))

    def send_bytes(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def ask(self, method, params):
        self.next_id += 1
        self.send({"id": self.next_id, "method": method, "params": params})
        return self.next_id

    def wait(self, wanted):
        """The first message that `wanted` accepts; others are kept for later waits."""
        for i, message in enumerate(self.kept):
            if wanted(message):
                return self.kept.pop(i)
        while True:
            message = self.messages.get(timeout=self.PATIENCE)
            if message is None:
                raise EOFError("the server's output ended: " + "".join(self.log[-5:]))
            if wanted(message):
                return message
            self.kept.append(message)

    def response(self, request_id):
        return self.wait(lambda m: "method" not in m and m.get("id") == request_id)

    def request(self, method, params):
        answer = self.response(self.ask(method, params))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def notification(self, method):
        return self.wait(lambda m: m.get("method") == method)["params"]

    def start(self, capabilities=None, **more):
        result = self.request("initialize", {"processId": None, "rootUri": None,
                                             "capabilities": capabilities or {}, **more})
        self.notify("initialized", {})
        return result

    def wait_until_ready(self):
        self.wait(lambda m: m.get("method") == "caretd/status" and
                  m["params"]["state"] in ("ready", "busy"))

    def open(self, uri, text, language):
        self.versions[uri] = 1
        self.notify("textDocument/didOpen", {"textDocument": {
            "uri": uri, "languageId": language, "version": 1, "text": text}})

    def insert(self, uri, line, character, text):
        self.versions[uri] += 1
        at = {"line": line, "character": character}
        self.notify("textDocument/didChange", {
            "textDocument": {"uri": uri, "version": self.versions[uri]},
            "contentChanges": [{"range": {"start": at, "end": at}, "text": text}]})

    def complete(self, uri, line, character, kind=2):
        result = self.request("textDocument/inlineCompletion", {
            "textDocument": {"uri": uri}, "position": {"line": line, "character": character},
            "context": {"triggerKind": kind}})
        return result["items"]

    def close(self):
        """Ends the process, however it is."""
        self.process.kill()
        self.process.wait()
        for thread in self.readers:
            thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass

    def stop(self):
        """Ends the session as an editor does; the exit code."""
        self.request("shutdown", None)
        self.notify("exit", None)
        self.process.stdin.close()
        return self.process.wait(timeout=self.PATIENCE)
