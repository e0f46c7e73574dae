"""200 open files of 2,000 lines and 1,000 edits a second, at first alone and then with suggestions
asked for: the server keeps up and does not grow. CARETD_LOAD_SECONDS=60 runs it at full length and
holds it to the goals of docs/performance.md; without, it is short and the bounds leave room for a
busy machine, on which the files are still being parsed when it begins."""

import os
import pathlib
import sys
import tempfile
import time
import unittest

from language_client import LanguageClient, private_environment

CARETD = os.environ["CARETD"]
FULL_SECONDS = float(os.environ.get("CARETD_LOAD_SECONDS", 0))
SECONDS = FULL_SECONDS or 3.0
P99_MILLISECONDS = 5.0 if FULL_SECONDS else 5000.0
FILES = 200
LINES = 2000
EDITS_PER_SECOND = 1000
EDITS_PER_SUGGESTION = 199  # files take turns
# Beside the KV cache, which has its own: 1,024 remembered edits of each file, and what of the
# budgets for syntax trees (64 MiB) and tokens (32 MiB) was not in use after the first seconds.
GROWTH_MIB = 64.0 if FULL_SECONDS else 256.0

# No two lines are equal, as in a file that somebody wrote: tokens of equal lines are shared.
LINES_OF = {
    "python": "    value_{0} = compute(first, {0})  # a line of ordinary length\n",
    "javascript": "const value_{0} = compute(first, {0}); // a line of ordinary length\n",
    "go": "\tvalue_{0} := compute(first, {0}) // a line of ordinary length\n",
    "plaintext": "    value_{0} = compute(first, {0})  # a line of ordinary length\n",
}


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the process has ended")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class EditLoad(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.client = LanguageClient([CARETD, "lsp", "--standalone"],
                                     env=private_environment(home.name))
        self.addCleanup(self.client.close)
        self.client.start()
        self.client.wait_until_ready()
        self.uris = []
        for i in range(FILES):
            language = list(LINES_OF)[i % len(LINES_OF)]
            uri = f"file:///project/many{i}.{language}"
            text = "".join(LINES_OF[language].format(line) for line in range(LINES))
            self.client.open(uri, text, language)
            self.uris.append(uri)
        self.client.request("caretd/status", None)

    def kv_mib(self):
        return self.client.request("caretd/stats", None)["engine"]["kvUsedBytes"] / 2**20

    def ask_for_a_suggestion(self, edit):
        """As an editor does after a key; the answer is read with those that are waited for."""
        self.client.ask("textDocument/inlineCompletion", {
            "textDocument": {"uri": self.uris[edit % FILES]}, "context": {"triggerKind": 2},
            "position": {"line": edit % LINES, "character": 6}})

    def drop_answers(self):
        self.client.kept = [m for m in self.client.kept if "method" in m and "id" in m]

    def edits(self, seconds, first, suggestions):
        """Round trips of every tenth edit in milliseconds, by which its handling is bounded from
        above: the answer follows it. And the number of the next edit."""
        times = []
        begin = time.perf_counter()
        for i in range(int(seconds * EDITS_PER_SECOND)):
            edit = first + i
            time.sleep(max(0.0, begin + i / EDITS_PER_SECOND - time.perf_counter()))
            sent = time.perf_counter()
            self.client.insert(self.uris[edit % FILES], edit % LINES, 5, "x")
            if i % 10 == 0:
                self.client.request("caretd/status", None)
                times.append((time.perf_counter() - sent) * 1000)
                self.drop_answers()
            if suggestions and i % EDITS_PER_SUGGESTION == 0:
                self.ask_for_a_suggestion(edit)
        took = time.perf_counter() - begin
        print(f"\ndidChange and a round trip, {FILES} files of {LINES} lines, "
              f"{seconds * EDITS_PER_SECOND / took:.0f} edits a second for {took:.0f} s, "
              f"suggestions {'asked for' if suggestions else 'off'}: "
              f"p50 {percentile(times, 0.5):.2f} ms, p99 {percentile(times, 0.99):.2f} ms; "
              f"{resident_mib(self.client.process.pid):.0f} MiB resident")
        return times, first + int(seconds * EDITS_PER_SECOND)

    def test_edits_of_many_open_files(self):
        _, edit = self.edits(SECONDS / 3, 0, True)
        before, cached = resident_mib(self.client.process.pid), self.kv_mib()
        times, edit = self.edits(SECONDS, edit, False)
        self.edits(SECONDS, edit, True)
        growth = resident_mib(self.client.process.pid) - before
        with self.subTest("memory"):
            self.assertLess(growth - max(0.0, self.kv_mib() - cached), GROWTH_MIB)
        with self.subTest("time"):
            self.assertLess(percentile(times, 0.99), P99_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(unittest.main())
