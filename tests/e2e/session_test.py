"""The real binary as an editor sees it: stdio, the embedded model, bad input."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

from language_client import UNHURRIED, LanguageClient, private_environment

CARETD = os.environ["CARETD"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
URI = "file:///project/sample.py"
SOURCE = "import os\n\n\ndef read_lines(path):\n    with open(path) as f:\n        return \n"
HOLE = (5, 15)
PATIENCE = LanguageClient.PATIENCE
INVOKED = 1  # without the gate: the embedded model is rarely sure


class Sessions(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.TemporaryDirectory()
        self.addCleanup(self.home.cleanup)
        self.environment = private_environment(self.home.name, **UNHURRIED)

    def connect(self, *arguments):
        client = LanguageClient([CARETD, "lsp", "--standalone", *arguments], env=self.environment)
        self.addCleanup(client.close)
        return client

    def run_caretd(self, *arguments):
        result = subprocess.run([CARETD, *arguments], timeout=PATIENCE, capture_output=True, text=True,
                                env=self.environment, check=False)
        self.assertEqual(0, result.returncode, result.stderr)
        return result.stdout

    def error_code(self, client, method, params):
        return client.response(client.ask(method, params))["error"]["code"]

    def test_a_completion_from_the_embedded_model(self):
        client = self.connect()
        result = client.start({"general": {"positionEncodings": ["utf-8", "utf-16"]}})
        self.assertEqual("caretd", result["serverInfo"]["name"])
        self.assertEqual("utf-8", result["capabilities"]["positionEncoding"])
        client.open(URI, SOURCE, "python")
        items = client.complete(URI, *HOLE, kind=INVOKED)
        self.assertGreaterEqual(len(items), 1)
        self.assertNotEqual("", items[0]["insertText"].strip())
        self.assertNotIn("fim", items[0]["insertText"])
        why = client.request("caretd/why", {"textDocument": {"uri": URI}})
        self.assertGreater(why["usage"]["generatedTokens"], 0)
        self.assertEqual("tiny", client.request("caretd/status", None)["model"])
        self.assertEqual(0, client.stop())

    def test_typing_as_suggested_is_answered_without_the_model(self):
        client = self.connect()
        client.start()
        client.open(URI, SOURCE, "python")
        text = client.complete(URI, *HOLE, kind=INVOKED)[0]["insertText"]
        client.insert(URI, *HOLE, text[0])
        rest = client.complete(URI, HOLE[0], HOLE[1] + 1)[0]["insertText"]
        self.assertEqual(text[1:], rest)
        stats = client.request("caretd/stats", None)["completions"]
        self.assertEqual((1, 1), (stats["fromModel"], stats["fromCache"]))
        if "CARETD_ENFORCE_TIMES" in os.environ:  # on a machine that does nothing else
            self.assertLess(stats["latencyCacheMs"]["p99"], 3)

    def test_statistics_survive_the_process_and_are_printed(self):
        for _ in range(2):
            client = self.connect()
            client.start()
            client.open(URI, SOURCE, "python")
            text = client.complete(URI, *HOLE, kind=INVOKED)[0]["insertText"]
            client.insert(URI, *HOLE, text)
            client.request("caretd/status", None)
            self.assertEqual(0, client.stop())
        stats = json.loads(self.run_caretd("stats", "--json"))
        self.assertEqual((2, 2, 2), (stats["requests"], stats["shown"], stats["acceptedFull"]))
        self.assertGreater(stats["latencyModelMs"]["p99"], 0)
        self.assertIn("accepted as a whole", self.run_caretd("stats"))

    def test_why_explains_a_place_of_a_file(self):
        file = pathlib.Path(self.home.name) / "sample.py"
        file.write_text(SOURCE)
        place = f"{file}:{HOLE[0] + 1}:{HOLE[1] + 1}"
        why = json.loads(self.run_caretd("why", "--json", "--invoked", place))
        self.assertIn("prefix", [piece["kind"] for piece in why["pieces"]])
        self.assertGreater(why["usage"]["generatedTokens"], 0)
        self.assertEqual({"line": HOLE[0], "character": HOLE[1]}, why["position"])
        self.assertIn("stopped by", self.run_caretd("why", place))

    def test_no_network_socket_is_opened(self):
        client = self.connect()
        client.start()
        client.open(URI, SOURCE, "python")
        self.assertTrue(client.complete(URI, *HOLE, kind=INVOKED))
        process = pathlib.Path(f"/proc/{client.process.pid}")
        opened = set()
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                opened.add(os.readlink(descriptor))
        self.assertTrue(opened)
        for table in ("tcp", "tcp6", "udp", "udp6", "raw"):
            path = process / "net" / table
            rows = path.read_text().splitlines()[1:] if path.exists() else []
            sockets = {f"socket:[{row.split()[9]}]" for row in rows}
            self.assertFalse(opened & sockets, table)

    def test_files_take_turns_without_computing_again(self):
        client = self.connect()
        client.start()
        uris = ["file:///project/first.py", "file:///project/second.py"]
        for i, uri in enumerate(uris):
            client.open(uri, f"# file {i}\n" * 30 + SOURCE, "python")
        line = 30 + HOLE[0]
        for turn in range(3):
            for uri in uris:
                client.insert(uri, line, HOLE[1] + turn, "q")
                client.complete(uri, line, HOLE[1] + turn + 1)
                why = client.request("caretd/why", {"textDocument": {"uri": uri}})
                if turn > 0 and why["source"] != "cache":
                    self.assertGreater(why["usage"]["promptTokens"], 100)
                    self.assertLessEqual(why["usage"]["computedTokens"], 3)
        self.assertEqual(0, client.stop())

    def test_garbage_costs_an_error_and_not_the_session(self):
        client = self.connect()
        client.start()
        client.send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.send_bytes(b"Content-Length: 99999999999999999999\r\n\r\n")
        client.send_bytes(b"Content-Length: 7\r\n\r\nnot it{")
        client.send_bytes(b"x" * 100_000 + b"\n")
        client.send_bytes(b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000)
        codes = [client.wait(lambda m: "error" in m)["error"]["code"] for _ in range(3)]
        self.assertEqual([-32700] * 3, codes)
        self.assertEqual(-32601, self.error_code(client, "no/such", {}))
        self.assertIn(client.request("caretd/status", None)["state"], ("starting", "ready", "busy"))
        self.assertEqual(0, client.stop())

    def test_the_order_of_the_lifecycle_is_enforced(self):
        client = self.connect()
        self.assertEqual(-32002, self.error_code(client, "caretd/status", {}))
        client.start()
        self.assertEqual(-32600, self.error_code(client, "initialize", {"capabilities": {}}))
        client.request("shutdown", None)
        self.assertEqual(-32600, self.error_code(client, "caretd/status", {}))
        client.notify("exit", None)
        self.assertEqual(0, client.process.wait(timeout=PATIENCE))

    def test_exit_without_shutdown_is_a_failure(self):
        client = self.connect()
        client.start()
        client.notify("exit", None)
        self.assertEqual(1, client.process.wait(timeout=PATIENCE))

    def test_the_process_ends_with_its_editor(self):
        client = self.connect()
        client.start()
        client.open(URI, SOURCE, "python")
        client.ask("textDocument/inlineCompletion", {
            "textDocument": {"uri": URI}, "position": {"line": HOLE[0], "character": HOLE[1]},
            "context": {"triggerKind": 2}})
        client.process.stdin.close()
        self.assertEqual(1, client.process.wait(timeout=PATIENCE))

    def test_a_missing_model_is_told_once_and_completions_are_empty(self):
        client = self.connect("--model", "/nowhere/at/all")
        client.start()
        message = client.notification("window/showMessage")
        self.assertIn("/nowhere/at/all", message["message"])
        client.open(URI, SOURCE, "python")
        self.assertEqual([], client.complete(URI, *HOLE))
        self.assertEqual("failed", client.request("caretd/status", None)["state"])
        self.assertFalse([m for m in client.kept if m.get("method") == "window/showMessage"])
        self.assertEqual(0, client.stop())

    def test_a_broken_model_is_told_with_the_file_at_fault(self):
        folder = pathlib.Path(self.home.name) / "broken"
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((ROOT / "models/tiny" / name).read_bytes())
        (folder / "model.safetensors").write_bytes(b"\xff" * 100)
        client = self.connect("--model", str(folder))
        client.start()
        self.assertIn("model.safetensors", client.notification("window/showMessage")["message"])
        self.assertEqual(0, client.stop())

    def test_loading_shows_progress(self):
        client = self.connect()
        # At one stroke, lest the model is loaded before the client is ready to see it.
        request = client.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {
            "window": {"workDoneProgress": True}}})
        client.notify("initialized", {})
        client.response(request)
        create = client.wait(lambda m: m.get("method") == "window/workDoneProgress/create")
        client.send({"id": create["id"], "result": None})
        client.wait_until_ready()
        self.assertEqual(0, client.stop())

    def test_positions_outside_are_clamped(self):
        client = self.connect()
        client.start()
        client.open(URI, "s = '\U0001F600'\r\nx = \r\n", "python")
        for position in ((0, 6), (0, 99999), (99999, 0), (4294967295, 4294967295)):
            client.complete(URI, *position)
        self.assertEqual(-32602, self.error_code(client, "textDocument/inlineCompletion", {
            "textDocument": {"uri": URI}, "position": {"line": -1, "character": 0}}))
        self.assertEqual(0, client.stop())

    def test_nothing_but_the_protocol_is_on_stdout(self):
        result = subprocess.run([CARETD, "lsp", "--standalone", "--log-level", "trace"], input=b"", timeout=PATIENCE,
                                capture_output=True, env=self.environment, check=False)
        self.assertEqual(b"", result.stdout)
        self.assertEqual(1, result.returncode)

    def test_a_hundred_requests_in_flight_are_each_answered_once(self):
        client = self.connect()
        client.start()
        client.open(URI, SOURCE, "python")
        ids = []
        for i in range(100):
            client.insert(URI, 0, 0, "#")
            ids.append(client.ask("textDocument/inlineCompletion", {
                "textDocument": {"uri": URI}, "context": {"triggerKind": 1 + i % 2},
                "position": {"line": HOLE[0], "character": HOLE[1]}}))
            if i % 3 == 0:
                client.notify("$/cancelRequest", {"id": ids[-1]})
        for request_id in ids:
            answer = client.response(request_id)
            self.assertTrue("result" in answer or answer["error"]["code"] == -32800, answer)
        client.request("caretd/status", None)
        self.assertFalse([m for m in client.kept if m.get("id") in ids and "method" not in m])
        self.assertEqual(0, client.stop())

    def test_two_sessions_at_once(self):
        first, second = self.connect(), self.connect()
        for client in (first, second):
            client.start()
            client.open(URI, SOURCE, "python")
        texts = [client.complete(URI, *HOLE, kind=INVOKED)[0]["insertText"] for client in (first, second)]
        self.assertEqual(texts[0], texts[1])
        first.process.send_signal(signal.SIGKILL)
        self.assertEqual(0, second.stop())


if __name__ == "__main__":
    sys.exit(unittest.main())
