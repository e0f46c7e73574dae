"""Chat over a daemon: two models of one budget, and `caretd chat` as the daemon's client."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "api"))
from language_client import LanguageClient  # noqa: E402
from scripted_peer import Peer  # noqa: E402

CARETD = os.environ["CARETD"]
TINY = pathlib.Path(__file__).resolve().parents[2] / "models/tiny"
URI = "file:///project/sample.py"
SOURCE = "def add(a, b):\n    return \n"
HOLE = (1, 11)
PATIENCE = 120
MEBIBYTE = 1 << 20


class DaemonThatChats(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        (self.home / "run").mkdir(mode=0o700)
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("CARETD_", "XDG_")) and not name.lower().endswith("_proxy")}
        self.environment = {**kept, "HOME": home.name, "XDG_RUNTIME_DIR": str(self.home / "run"),
                            "CARETD_MODEL_DEVICE": "cpu"}

    def caretd(self, *words, code=0):
        done = subprocess.run([CARETD, *map(str, words)], timeout=PATIENCE, capture_output=True,
                              text=True, env=self.environment, check=False)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done

    def engines(self):
        """What the daemon says of its engines, by the name of their model."""
        status = json.loads(self.caretd("daemon", "status", "--json").stdout)
        return {engine.get("model"): engine for engine in status["engines"]}

    def start(self, *settings):
        words = [word for setting in settings for word in ("--set", setting)]
        daemon = subprocess.Popen([CARETD, "daemon", "run", *words], env=self.environment,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        deadline = time.monotonic() + PATIENCE
        while subprocess.run([CARETD, "daemon", "status"], env=self.environment, check=False,
                             capture_output=True, timeout=PATIENCE).returncode != 0:
            self.assertLess(time.monotonic(), deadline, "the daemon does not answer")
            time.sleep(0.05)

    def session(self):
        client = LanguageClient([CARETD, "lsp"], env=self.environment)
        self.addCleanup(client.close)
        client.start()
        client.wait_until_ready()
        client.open(URI, SOURCE, "python")
        return client

    def talker(self):
        """A model with another name than the one that completes."""
        folder = self.home / "talker"
        shutil.copytree(TINY, folder)
        return folder


class TwoModels(DaemonThatChats):
    def test_two_models_serve_side_by_side_and_share_one_budget(self):
        self.start(f"chat.model={self.talker()}", "model.kv_mebibytes=64")
        client = self.session()
        reply = client.request("caretd/chat", {"message": "Write a function.", "maxTokens": 8})
        self.assertIn("'talker' is a tiny model", reply["notice"])
        self.assertNotEqual([], client.complete(URI, *HOLE, kind=1))
        # What chats again still knows what was said, beside what completes.
        more = client.request("caretd/chat", {"message": "Why?", "maxTokens": 8,
                                              "conversationId": reply["conversationId"]})
        self.assertGreaterEqual(more["usage"]["cachedTokens"], reply["usage"]["promptTokens"])
        status = client.request("caretd/status", None)
        self.assertEqual(("tiny", "talker"), (status["model"], status["chatModel"]))
        engines = self.engines()
        self.assertEqual({"tiny", "talker"}, set(engines))
        self.assertEqual(2, engines["talker"]["requests"])
        self.assertGreaterEqual(engines["tiny"]["requests"], 1)
        budgets = [engine["kvBudgetBytes"] for engine in engines.values()]
        self.assertLessEqual(sum(budgets), 64 * MEBIBYTE)
        for engine in engines.values():
            self.assertGreater(engine["kvBudgetBytes"], 31 * MEBIBYTE)
            self.assertLessEqual(engine["kvUsedBytes"], engine["kvBudgetBytes"])
            self.assertGreater(engine["kvUsedBytes"], 0)

    def test_a_remote_model_that_completes_leaves_the_chat_model_the_whole_budget(self):
        peer = Peer()
        self.addCleanup(peer.close)
        self.start(f"chat.model={self.talker()}", "model.kv_mebibytes=64", f"remote.url={peer.url}")
        client = self.session()
        reply = client.request("caretd/chat", {"message": "Write a function.", "maxTokens": 8})
        self.assertIn("'talker' is a tiny model", reply["notice"])
        self.assertEqual(["a + 1"], [item["insertText"] for item in client.complete(URI, *HOLE, kind=1)])
        self.assertEqual([], [body for body in peer.requests if "Write a function" in json.dumps(body)])
        talker = self.engines()["talker"]
        self.assertEqual(1, talker["requests"])
        self.assertGreater(talker["kvBudgetBytes"], 63 * MEBIBYTE)
        self.assertLessEqual(talker["kvBudgetBytes"], 64 * MEBIBYTE)


class Command(DaemonThatChats):
    """`caretd chat` where a daemon runs."""

    def lines(self, *words):
        return [json.loads(line) for line in self.caretd("chat", "--json", *words).stdout.splitlines()]

    def test_the_daemons_model_answers_and_no_other_is_loaded(self):
        self.start()
        source = self.home / "sample.py"
        source.write_text(SOURCE)
        secret = self.home / ".env"
        secret.write_text("KEY=1\n")
        opening, *pieces, whole = self.lines("--file", source, "--file", secret, "--system", "Be short.",
                                             "--set", "chat.max_tokens=12", "What is this")
        self.assertEqual(1, self.engines()["tiny"]["requests"])
        context = {pathlib.Path(item["uri"]).name: item for item in opening["context"]}
        self.assertGreater(context["sample.py"]["tokens"], 10)
        self.assertEqual("ignored", context[".env"]["leftOut"])
        self.assertEqual(whole["content"], "".join(piece["content"] for piece in pieces))
        self.assertEqual(opening["context"], whole["context"])
        self.assertLessEqual(whole["usage"]["generatedTokens"], 12)
        self.assertEqual(opening["promptTokens"], whole["usage"]["promptTokens"])
        # The same prompt as that of a process that loads the model itself.
        own, *_ = self.lines("--standalone", "--file", source, "--file", secret, "--system", "Be short.",
                             "--set", "chat.max_tokens=12", "What is this")
        self.assertEqual((opening["promptTokens"], opening["context"], opening["notice"]),
                         (own["promptTokens"], own["context"], own["notice"]))
        self.assertEqual(1, self.engines()["tiny"]["requests"])

    def test_text_goes_to_stdout_and_what_there_is_to_know_to_stderr(self):
        self.start()
        done = self.caretd("chat", "--set", "chat.max_tokens=12", "Write a function that adds two numbers.")
        self.assertNotEqual("", done.stdout.strip())
        self.assertIn("'tiny' is a tiny model", done.stderr)
        self.assertEqual(1, self.engines()["tiny"]["requests"])

    def test_a_model_named_on_the_command_line_is_loaded_here(self):
        self.start()
        done = self.caretd("chat", "--set", f"chat.model={self.talker()}", "--set", "chat.max_tokens=4", "Hi")
        self.assertIn("'talker' is a tiny model", done.stderr)
        self.assertNotIn("talker", self.engines())

    def test_an_interrupt_ends_the_reply_in_the_daemon(self):
        self.start()
        # At this temperature a reply hardly ever ends by itself.
        endless = ("--json", "--set", "chat.temperature=2", "--set", "chat.max_tokens=1000", "Talk")
        with subprocess.Popen([CARETD, "chat", *endless], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, env=self.environment) as chat:
            for _ in range(3):
                line = chat.stdout.readline()
            self.assertIn("content", json.loads(line))
            chat.send_signal(signal.SIGINT)
            *_, last = chat.stdout.read().splitlines()
            self.assertEqual(1, chat.wait(timeout=PATIENCE))
        whole = json.loads(last)
        self.assertEqual("cancelled", whole["finishReason"])
        self.assertNotEqual("", whole["content"])
        # The answer does not wait for the engine to count it.
        deadline = time.monotonic() + PATIENCE
        while (engine := self.engines()["tiny"])["running"] + engine["queued"] > 0:
            self.assertLess(time.monotonic(), deadline, engine)
            time.sleep(0.05)
        self.assertLess(engine["generatedTokens"], 1000)


if __name__ == "__main__":
    unittest.main()
