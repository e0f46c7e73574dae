"""Editor sessions over a model elsewhere: a scripted server with its oddities, and `caretd serve`."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "api"))
from language_client import UNHURRIED, LanguageClient, private_environment  # noqa: E402
from scripted_peer import Peer  # noqa: E402

CARETD = os.environ["CARETD"]
URI = "file:///project/sample.py"
SOURCE = "def f(a):\n    return \n\n\nprint(f(1))\n"
HOLE = (1, 11)
PATIENCE = 60  # seconds for what takes one on a machine that does nothing else


class Remote(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.TemporaryDirectory()
        self.addCleanup(self.home.cleanup)

    def environment(self, **more):
        return private_environment(self.home.name, **{**UNHURRIED, **more})

    def peer(self, **differences):
        peer = Peer(**differences)
        self.addCleanup(peer.close)
        return peer

    def connect(self, url, *settings, **environment):
        words = [word for setting in (f"remote.url={url}", *settings) for word in ("--set", setting)]
        client = LanguageClient([CARETD, "lsp", "--standalone", *words],
                                env=self.environment(**environment))
        self.addCleanup(client.close)
        client.start()
        return client

    def session(self, url, *settings, **environment):
        client = self.connect(url, *settings, **environment)
        client.wait_until_ready()
        client.open(URI, SOURCE, "python")
        return client

    def texts(self, client):
        return [item["insertText"] for item in client.complete(URI, *HOLE, kind=1)]

    def test_a_completion_comes_from_the_server(self):
        peer = self.peer()
        client = self.session(peer.url)
        self.assertEqual(["a + 1"], self.texts(client))
        request = peer.keystrokes()[0]
        self.assertTrue(request["prompt"].endswith("def f(a):\n    return "), request["prompt"])
        self.assertIn("print(f(1))", request["suffix"])
        self.assertEqual("model-1", request["model"])

    def test_the_user_is_told_once_that_files_leave_the_machine(self):
        peer = self.peer()
        client = self.session(peer.url)
        self.texts(client)
        status = client.request("caretd/status", None)
        self.assertIs(False, status["local"])
        client.request("caretd/stats", None)
        told = [m["params"]["message"] for m in client.kept if m.get("method") == "window/showMessage"]
        self.assertEqual(1, len([m for m in told if "sent to" in m and peer.url in m]), told)

    def test_nothing_is_sent_to_warm_a_cache(self):
        peer = self.peer()
        client = self.session(peer.url)
        client.request("caretd/status", None)
        client.notify("caretd/didFocus", {"textDocument": {"uri": URI},
                                          "position": {"line": 0, "character": 0}})
        client.request("caretd/status", None)
        self.assertEqual([], [r for r in peer.requests if r["max_tokens"] == 0])

    def test_comments_split_characters_and_no_usage(self):
        peer = self.peer(comments=True, split=True, usage=False, text=["\"gr\u00fc\u00df", "e \U0001f600\""])
        self.assertEqual(["\"gr\u00fc\u00dfe \U0001f600\""], self.texts(self.session(peer.url)))

    def test_a_refused_suffix_becomes_a_raw_prompt(self):
        peer = self.peer(refuses=["suffix", "stream_options", "logprobs"])
        client = self.session(peer.url, "remote.fim_tokens=<P>,<S>,<M>")
        self.assertEqual(["a + 1"], self.texts(client))
        prompt = peer.keystrokes()[-1]["prompt"]
        self.assertRegex(prompt, re.compile(r"^<P>.*<S>.*<M>    return $", re.DOTALL))

    def test_without_filling_in_the_middle_only_what_is_in_front_is_sent(self):
        peer = self.peer()
        client = self.session(peer.url, "remote.fim=off")
        self.assertEqual(["a + 1"], self.texts(client))
        request = peer.keystrokes()[-1]
        self.assertNotIn("suffix", request)
        self.assertTrue(request["prompt"].endswith("def f(a):\n    return "), request["prompt"])
        self.assertNotIn("fim", request["prompt"])
        client.request("caretd/stats", None)
        told = [m["params"]["message"] for m in client.kept if m.get("method") == "window/showMessage"]
        self.assertEqual([], [m for m in told if "middle" in m])

    def test_servers_known_to_pass_over_the_suffix_get_a_raw_prompt_at_once(self):
        peer = self.peer(owner="llamacpp")
        self.texts(self.session(peer.url))
        self.assertNotIn("suffix", peer.keystrokes()[0])
        self.assertTrue(peer.keystrokes()[0]["prompt"].startswith("<\uff5cfim\u2581begin\uff5c>"))

    def test_a_dropped_connection_is_tried_once_more(self):
        # Of a connection that was kept libcurl would itself try again, uncounted.
        peer = self.peer(drop_next=1, closes=True)
        client = self.session(peer.url)
        self.assertEqual(["a + 1"], self.texts(client))
        peer.set(drop_next=1000)
        before = len(peer.keystrokes())
        other = "file:///project/other.py"
        client.open(other, SOURCE, "python")
        self.assertEqual([], client.complete(other, *HOLE, kind=1))
        self.assertEqual(before + 2, len(peer.keystrokes()))

    def test_a_stream_that_breaks_costs_one_completion(self):
        for difference in ({"drop_after": 1}, {"error_after": 1}):
            with self.subTest(difference):
                peer = self.peer(**difference)
                client = self.session(peer.url)
                self.assertEqual([], self.texts(client))
                peer.set(drop_after=None, error_after=None)
                self.assertEqual(["a + 1"], self.texts(client))

    def test_a_cancelled_request_is_closed_upstream(self):
        peer = self.peer(endless=True)
        client = self.session(peer.url, "completion.max_tokens=2000", "completion.time_budget_ms=60000")
        request = client.ask("textDocument/inlineCompletion", {
            "textDocument": {"uri": URI}, "position": {"line": HOLE[0], "character": HOLE[1]},
            "context": {"triggerKind": 1}})
        deadline = time.monotonic() + PATIENCE
        while not peer.requests:
            self.assertLess(time.monotonic(), deadline, "the server is not asked")
            time.sleep(0.01)
        client.notify("$/cancelRequest", {"id": request})
        client.response(request)
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        self.assertTrue(peer.closed_by_client.wait(PATIENCE))

    def test_the_time_budget_closes_the_request_too(self):
        peer = self.peer(endless=True)  # to all tokens it takes more than half a minute
        client = self.session(peer.url, "completion.max_tokens=2000", "completion.time_budget_ms=300")
        begin = time.monotonic()
        self.texts(client)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertTrue(peer.closed_by_client.wait(PATIENCE))

    def test_a_silent_server_fails_the_request(self):
        peer = self.peer(silence=5 * PATIENCE)
        client = self.session(peer.url, "remote.timeout_s=1", "completion.time_budget_ms=60000")
        begin = time.monotonic()
        self.assertEqual([], self.texts(client))
        self.assertLess(time.monotonic() - begin, 30)

    def wait_for_failure(self, client):
        message = client.wait(lambda m: m.get("method") == "window/showMessage" and
                              "no completions" in m["params"]["message"])
        return message["params"]["message"]

    def test_a_wrong_key_is_said(self):
        peer = self.peer(key="right")
        wrong = self.connect(peer.url, CARETD_REMOTE_API_KEY="wrong")
        self.assertIn("API key", self.wait_for_failure(wrong))
        right = self.session(peer.url, CARETD_REMOTE_API_KEY="right")
        self.assertEqual(["a + 1"], self.texts(right))

    def test_a_server_that_is_not_there_is_said(self):
        client = self.connect("http://127.0.0.1:1")
        self.assertIn("127.0.0.1:1", self.wait_for_failure(client))
        client.open(URI, SOURCE, "python")
        self.assertEqual([], self.texts(client))

    def test_a_server_that_loads_its_model_is_waited_for(self):
        client = self.session(self.peer(loading=3).url)
        self.assertEqual(["a + 1"], self.texts(client))

    def test_a_server_that_comes_back_is_found_again(self):
        peer = self.peer()
        peer.close()
        client = self.connect(peer.url)
        self.wait_for_failure(client)
        peer.restart()
        client.wait_until_ready()
        client.open(URI, SOURCE, "python")
        self.assertEqual(["a + 1"], self.texts(client))

    def test_certificates_are_checked(self):
        files = [str(pathlib.Path(self.home.name) / name) for name in ("cert.pem", "key.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-out", files[0],
                        "-keyout", files[1], "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        peer = self.peer(certificate=files)
        distrusting = self.connect(peer.url)
        self.assertRegex(self.wait_for_failure(distrusting), "(?i)certificate")
        trusting = self.session(peer.url, f"remote.ca_file={files[0]}")
        self.assertEqual(["a + 1"], self.texts(trusting))

    def test_the_usual_proxy_variables_count(self):
        proxy = self.peer()
        client = self.session("http://model.invalid", http_proxy=proxy.url)
        self.assertEqual(["a + 1"], self.texts(client))
        self.assertEqual("http://model.invalid/v1/models", proxy.targets[0])

    def test_another_caretd(self):
        serve = subprocess.Popen([CARETD, "serve", "--listen", "127.0.0.1:0"], text=True,
                                 stdout=subprocess.PIPE, env=self.environment())
        self.addCleanup(serve.stdout.close)
        self.addCleanup(serve.wait)
        self.addCleanup(serve.terminate)
        url = serve.stdout.readline().split()[-1]
        client = self.session(url)
        local = LanguageClient([CARETD, "lsp", "--standalone"], env=self.environment())
        self.addCleanup(local.close)
        local.start()
        local.wait_until_ready()
        local.open(URI, SOURCE, "python")
        remote_texts = self.texts(client)
        self.assertNotEqual([], remote_texts)
        self.assertEqual(self.texts(local)[:1], remote_texts)
        self.assertEqual("tiny", client.request("caretd/status", None)["model"])


if __name__ == "__main__":
    unittest.main()
