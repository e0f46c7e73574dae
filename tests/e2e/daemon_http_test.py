"""One daemon for editors and HTTP clients: the same process, the same engine."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from language_client import UNHURRIED, LanguageClient, private_environment

CARETD = os.environ["CARETD"]
URI = "file:///project/sample.py"
SOURCE = "def add(a, b):\n    return \n"
HOLE = (1, 11)
PATIENCE = 60


class DaemonWithHttp(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.environment = private_environment(home.name, **UNHURRIED)
        self.config = pathlib.Path(home.name) / "caretd" / "config.toml"
        self.config.parent.mkdir(mode=0o700)  # the socket goes there, too
        self.config.write_text('[http]\naddress = "127.0.0.1:0"\n[model]\nthreads = 1\n')

    def caretd(self, *words):
        return subprocess.run([CARETD, *words], timeout=PATIENCE, capture_output=True, text=True,
                              env=self.environment, check=False)

    def status(self):
        return json.loads(self.caretd("daemon", "status", "--json").stdout)

    def start(self, *words):
        daemon = subprocess.Popen([CARETD, "daemon", "run", *words], env=self.environment,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        deadline = time.monotonic() + PATIENCE
        while self.caretd("daemon", "status").returncode != 0:
            self.assertLess(time.monotonic(), deadline, "the daemon does not answer")
            time.sleep(0.02)
        return daemon, self.status()["http"]

    def ask(self, url, body=None):
        """Status and value; asks again while the model loads, as the reply says."""
        deadline = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(url, data=body and json.dumps(body).encode())
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                    return reply.status, json.load(reply)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503 or time.monotonic() > deadline:
                        return error.code, json.load(error)
            time.sleep(0.05)

    def test_editors_and_http_clients_share_one_engine(self):
        daemon, url = self.start()
        code, reply = self.ask(f"{url}/v1/completions", {"prompt": SOURCE, "max_tokens": 4})
        self.assertEqual((200, "tiny"), (code, reply["model"]))
        client = LanguageClient([CARETD, "lsp"], env=self.environment)
        self.addCleanup(client.close)
        client.start()
        client.wait_until_ready()
        client.open(URI, SOURCE, "python")
        self.assertNotEqual([], client.complete(URI, *HOLE, kind=1))
        status = self.status()
        self.assertEqual(daemon.pid, status["pid"])
        self.assertEqual(1, len(status["engines"]), status)
        self.assertEqual(1, len(status["sessions"]))
        self.assertGreaterEqual(status["engines"][0]["requests"], 2)
        self.assertEqual(0, self.caretd("daemon", "stop").returncode)
        self.assertEqual(0, daemon.wait(PATIENCE))

    def test_a_relay_starts_a_daemon_that_serves_http_at_once(self):
        client = LanguageClient([CARETD, "lsp"], env=self.environment)
        self.addCleanup(client.close)
        client.start()
        self.addCleanup(self.caretd, "daemon", "stop")
        code, models = self.ask(self.status()["http"] + "/v1/models")
        self.assertEqual(200, code)
        self.assertEqual("list", models["object"])
        self.assertEqual(200, self.ask(self.status()["http"] + "/health")[0])

    def test_settings_that_are_read_again_leave_http_clients_an_engine(self):
        _, url = self.start()
        self.assertEqual(200, self.ask(f"{url}/health")[0])
        self.config.write_text(self.config.read_text() + "kv_mebibytes = 64\n")
        deadline = time.monotonic() + PATIENCE
        budget = 64 << 20
        unknown = budget + 1  # while the engine is replaced
        while budget < max((engine.get("kvBudgetBytes", unknown)
                            for engine in self.status()["engines"]), default=unknown):
            self.assertLess(time.monotonic(), deadline, self.status())
            time.sleep(0.05)
        code, reply = self.ask(f"{url}/v1/completions", {"prompt": SOURCE, "max_tokens": 4, "ignore_eos": True})
        self.assertEqual((200, 4), (code, reply["usage"]["completion_tokens"]))

    def test_an_address_that_is_taken_is_said(self):
        _, url = self.start()
        taken = url.removeprefix("http://")
        second = tempfile.TemporaryDirectory()
        self.addCleanup(second.cleanup)
        refused = subprocess.run([CARETD, "serve", "--listen", taken], capture_output=True, text=True,
                                 timeout=PATIENCE, env={**self.environment, "HOME": second.name}, check=False)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn(taken, refused.stderr)

    def test_a_daemon_without_its_address_serves_editors_and_says_so(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            taken = f"127.0.0.1:{holder.getsockname()[1]}"
            self.config.write_text(f'[http]\naddress = "{taken}"\n[model]\nthreads = 1\n')
            # Relays start the daemon, a person, or systemd: none is left without one.
            clients = []
            for _ in range(2):
                clients.append(client := LanguageClient([CARETD, "lsp"], env=self.environment))
                self.addCleanup(client.close)
                client.start()
                client.wait_until_ready()
            self.addCleanup(self.caretd, "daemon", "stop")
            shown = [[message["params"]["message"] for message in client.kept
                      if message.get("method") == "window/showMessage"] for client in clients]
            self.assertEqual([1, 0], [sum(taken in text for text in texts) for texts in shown], shown)
            status = self.status()
            self.assertEqual(2, len(status["sessions"]))
            self.assertNotIn("http", status)
            self.assertIn(taken, status["httpProblem"])
            self.assertIn(f"http      {status['httpProblem']}", self.caretd("daemon", "status").stdout)
            self.assertIn(status["httpProblem"], self.caretd("doctor", "--quick").stdout)
            restarted = self.caretd("daemon", "restart")
            self.assertEqual(0, restarted.returncode)
            self.assertIn(taken, restarted.stderr)
        # What held it is gone: the remedy of the sentence works.
        self.assertEqual("", self.caretd("daemon", "restart").stderr)
        self.assertEqual(f"http://{taken}", self.status()["http"])


if __name__ == "__main__":
    unittest.main()
