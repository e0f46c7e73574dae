"""The command line as a user meets it: help, exit codes, completions, manual, doctor, models."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARETD = os.environ.get("CARETD", str(ROOT / "build/release/bin/caretd"))
TINY = ROOT / "models/tiny"


class CommandTest(unittest.TestCase):
    """A user without any files, and commands in that user's name."""

    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="caretd-commands-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("CARETD_", "XDG_"))}
        (self.home / "run").mkdir(mode=0o700)
        self.environment = {**kept, "HOME": str(self.home), "CARETD_MODEL_DEVICE": "cpu",
                            "XDG_RUNTIME_DIR": str(self.home / "run")}

    def run_caretd(self, *arguments, code=0, **variables):
        done = subprocess.run([CARETD, *map(str, arguments)], capture_output=True, text=True,
                              env={**self.environment, **variables}, timeout=120)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done

    def configure(self, text):
        file = self.home / ".config/caretd/config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


class Help(CommandTest):
    def subcommands(self, path=()):
        """Every path of subcommands, as the help itself lists them."""
        yield path
        text = self.run_caretd(*path, "--help").stdout
        if "Subcommands:" not in text:
            return
        for line in text.split("Subcommands:")[1].split("\n\n")[0].splitlines():
            if line.startswith("  ") and line[2] != " ":
                yield from self.subcommands((*path, line.split()[0]))

    def test_every_command_has_help_with_examples_and_exit_codes(self):
        paths = list(self.subcommands())
        self.assertGreater(len(paths), 20)
        for path in paths:
            text = self.run_caretd(*path, "--help").stdout
            self.assertIn("Examples:\n  caretd", text, path)
            self.assertIn("Exit codes:", text, path)
            example = text.split("Examples:\n")[1].splitlines()[0]
            self.assertIn(" ".join(("caretd", *path)), example)

    def test_mistakes_are_told_apart_by_exit_code_and_named(self):
        self.assertIn("'nonsense'", self.run_caretd("nonsense", code=2).stderr)
        self.assertIn("'strat'", self.run_caretd("daemon", "strat", code=2).stderr)
        self.assertIn("subcommand", self.run_caretd(code=2).stderr)
        self.assertIn("--nonsense", self.run_caretd("doctor", "--nonsense", code=2).stderr)
        self.assertIn("tokenizer.json", self.run_caretd(
            "complete", "--model", self.home, __file__ + ":1:1", code=3).stderr)
        self.run_caretd("daemon", "status", code=3)
        file = self.configure("")
        elsewhere = ("lsp", "--connect", "box:7070", "--config", file)
        self.assertIn("--set", self.run_caretd(*elsewhere, code=2).stderr)

    def test_version_says_what_was_built_with_what(self):
        text = self.run_caretd("--version").stdout
        self.assertRegex(text, r"^caretd \d+\.\d+\.\d+ \([\w-]+\)\nbuilt with \w+ [\d.]+, \w+")

    def test_shells_accept_their_completions(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.home / f"completion.{shell}"
            script.write_text(self.run_caretd("completions", shell).stdout)
            if shutil.which(shell):
                subprocess.run([shell, "-n", script], check=True)
        asked = 'source "$1"; COMP_WORDS=(caretd daemon st); COMP_CWORD=2; _caretd; echo "${COMPREPLY[@]}"'
        answer = subprocess.run(["bash", "-c", asked, "bash", self.home / "completion.bash"],
                                capture_output=True, text=True, check=True).stdout
        self.assertEqual(["start", "stop", "status"], answer.split())

    def test_the_manual_names_every_command(self):
        page = self.run_caretd("man").stdout
        for path in self.subcommands():
            self.assertIn(".SS caretd " + " ".join(path) if path else ".SH NAME", page)
        if shutil.which("groff"):
            rendered = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, text=True,
                                      capture_output=True, check=True)
            self.assertEqual("", rendered.stderr)


class Configuration(CommandTest):
    def test_every_value_has_an_origin_and_mistakes_their_line(self):
        file = self.configure("[completion]\nmax_tokens = 10\nmax_tokenz = 11\n"
                              "prompt_tokens = \"many\"\n[model]\nthreads = -1\n")
        done = self.run_caretd("config", "show", "--origin", "--set", "completion.multiline=false",
                               code=2, CARETD_COMPLETION_TIME_BUDGET_MS="77")
        for key, value, origin in (("completion.max_tokens", "10", f"{file}:2"),
                                   ("completion.time_budget_ms", "77",
                                    "CARETD_COMPLETION_TIME_BUDGET_MS"),
                                   ("completion.multiline", "false", "--set"),
                                   ("completion.prompt_tokens", "1024", "default")):
            self.assertRegex(done.stdout, rf"(?m)^{key} = {value} +# {origin}$")
        self.assertIn(f"{file}:3: there is no setting 'completion.max_tokenz'; "
                      "did you mean completion.max_tokens?", done.stderr)
        self.assertIn(f"{file}:4: completion.prompt_tokens must be a whole number", done.stderr)
        self.assertIn(f"{file}:6: model.threads must be", done.stderr)

    def test_the_documented_table_is_the_real_one(self):
        table = self.run_caretd("config", "keys").stdout.strip()
        self.assertIn(table, (ROOT / "docs/configuration.md").read_text())


class Doctor(CommandTest):
    def findings(self, *arguments, code=0, **variables):
        done = self.run_caretd("doctor", "--json", *arguments, code=code, **variables)
        return json.loads(done.stdout)["findings"]

    def test_a_sound_installation_passes(self):
        findings = self.findings()
        topics = {finding["topic"] for finding in findings}
        self.assertLessEqual({"configuration", "permissions", "cpu", "gpu", "memory", "model",
                              "daemon", "self test"}, topics)
        self.assertRegex(findings[-1]["text"], r"first of 5 tokens after [\d.]+ ms")
        for finding in findings:
            if finding["severity"] != "ok":
                self.assertTrue(finding["remedy"], finding)

    def test_several_gpus_are_refused_in_one_sentence(self):
        sentence = "model.gpus names 2 GPUs, but this version runs a model on one"
        file = self.home / "file.py"
        file.write_text("x = 1\n")
        several = {"CARETD_MODEL_GPUS": "0,1", "CARETD_MODEL_DEVICE": "auto"}
        texts = [finding["text"] for finding in self.findings(code=1, **several)
                 if finding["severity"] == "problem" and finding["topic"] == "gpu"]
        self.assertEqual(1, len(texts))
        self.assertIn(sentence, texts[0])
        self.assertIn(sentence, self.run_caretd("complete", f"{file}:1:1", code=3, **several).stderr)

    def test_each_fault_is_found_and_says_what_to_do(self):
        model = self.home / "model"
        shutil.copytree(TINY, model)
        file = self.configure(f'[model]\npath = "{model}"\ndevise = "cpu"\n')
        file.chmod(0o666)
        (self.home / "run/caretd").mkdir()
        (self.home / "run/caretd").chmod(0o755)
        weights = bytearray((model / "model.safetensors").read_bytes())
        weights[-2:] = b"\xc0\x7f"  # not a number as BF16, as F32 and as FP8
        (model / "model.safetensors").write_bytes(weights)
        problems = {finding["topic"]: finding for finding in self.findings(code=1)
                    if finding["severity"] == "problem"}
        self.assertLessEqual({"configuration", "permissions", "daemon", "model"}, set(problems))
        for finding in problems.values():
            self.assertTrue(finding["remedy"], finding)
        self.assertIn("did you mean model.device", problems["configuration"]["text"])
        self.assertIn("not finite", problems["model"]["text"])

    def test_a_missing_model_and_a_missing_gpu_are_problems_where_they_are_asked_for(self):
        findings = self.findings("--quick", "--model", self.home / "none", "--device", "cuda", code=1)
        texts = [finding["text"] for finding in findings if finding["severity"] == "problem"]
        self.assertTrue(any(str(self.home / "none") in text for text in texts), texts)


class Chat(CommandTest):
    QUESTION = ("Write a docstring for this function.\n\n```python\ndef add(a, b):\n"
                "    return a + b\n```")

    def lines(self, *arguments, **variables):
        done = self.run_caretd("chat", "--json", *arguments, **variables)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_a_question_is_asked_in_words_or_on_stdin(self):
        greedy = ("--set", "chat.temperature=0", "--set", "chat.max_tokens=20")
        asked = self.run_caretd("chat", *greedy, self.QUESTION)
        self.assertGreater(len(asked.stdout.strip()), 3)
        self.assertIn("'tiny' is a tiny model", asked.stderr)
        piped = subprocess.run([CARETD, "chat", *greedy], input=self.QUESTION, text=True,
                               capture_output=True, env=self.environment, timeout=120)
        self.assertEqual((0, asked.stdout), (piped.returncode, piped.stdout))
        self.assertEqual(2, subprocess.run([CARETD, "chat"], input=" \n", text=True, timeout=120,
                                           capture_output=True, env=self.environment).returncode)

    def test_json_has_the_prompt_the_pieces_and_the_whole(self):
        source = self.home / "sample.py"
        source.write_text("def add(a, b):\n    return a + b\n")
        secret = self.home / ".env"
        secret.write_text("KEY=1\n")
        opening, *pieces, whole = self.lines("--file", source, "--file", secret,
                                             "--set", "chat.max_tokens=20", "What is this")
        context = {pathlib.Path(item["uri"]).name: item for item in opening["context"]}
        self.assertGreater(context["sample.py"]["tokens"], 10)
        self.assertEqual("ignored", context[".env"]["leftOut"])
        self.assertEqual(whole["content"], "".join(piece["content"] for piece in pieces))
        self.assertEqual(opening["conversationId"], whole["conversationId"])
        missing = self.run_caretd("chat", "--file", self.home / "none.py", "What is this", code=3)
        self.assertIn("none.py", missing.stderr)

    def test_an_interrupt_keeps_what_came_and_is_told_by_the_exit_code(self):
        for _ in range(5):
            code, last = self.interrupted_chat()
            # At this temperature a reply hardly ever ends by itself; one that did says nothing.
            if last["finishReason"] != "end":
                break
        self.assertEqual((1, "cancelled"), (code, last["finishReason"]))
        self.assertLess(last["usage"]["generatedTokens"], 1000)

    def interrupted_chat(self):
        """Exit code and last line of a chat that is interrupted once its reply has begun."""
        endless = ("--json", "--set", "chat.temperature=2", "--set", "chat.max_tokens=1000", "Talk")
        with subprocess.Popen([CARETD, "chat", *endless], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, env=self.environment) as chat:
            lines = [chat.stdout.readline() for _ in range(3)]
            chat.send_signal(signal.SIGINT)
            lines += chat.stdout.readlines()
            code = chat.wait(timeout=60)
        *_, last = filter(None, lines)
        return code, json.loads(last)

    def test_a_chat_model_of_its_own_is_used(self):
        other = self.home / "talker"
        shutil.copytree(TINY, other)
        done = self.run_caretd("chat", "--set", f"chat.model={other}", "--set", "chat.max_tokens=4", "Hi")
        self.assertIn("'talker' is a tiny model", done.stderr)
        (other / "tokenizer_config.json").write_text("{}")
        done = self.run_caretd("chat", "--set", f"chat.model={other}", "Hi", code=1)
        self.assertIn("'talker' cannot chat", done.stderr)
        self.assertIn("chat.model names the folder of one that can", done.stderr)


class Models(CommandTest):
    def test_a_checkpoint_is_listed_inspected_checked_and_quantized(self):
        models = self.home / ".local/share/caretd/models"
        self.run_caretd("checkpoint", "--shape", "small-full", "--seed", 3, "--out", models / "a",
                        "--tokenizer", TINY)
        listed = json.loads(self.run_caretd("models", "list", "--json").stdout)
        self.assertIn(str(models / "a"), [entry["folder"] for entry in listed])
        self.assertEqual(["tiny"], [pathlib.Path(entry["folder"]).name for entry in listed
                                    if entry["configured"]])
        before = json.loads(self.run_caretd("models", "inspect", "--json", models / "a").stdout)
        self.assertEqual("BF16", before["weightFormat"])
        self.assertIn("sound", self.run_caretd("models", "check", models / "a").stdout)

        report = self.run_caretd("models", "quantize", models / "a", models / "b").stdout
        self.assertIn("worst relative error", report)
        after = json.loads(self.run_caretd("models", "inspect", "--json", models / "b").stdout)
        self.assertIn("FP8", after["weightFormat"])
        self.assertEqual(before["parameters"], after["parameters"])
        self.assertLess(after["tensorBytes"], before["tensorBytes"])

        sums = self.home / "sums"
        sums.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
                                for file in (models / "b").iterdir()))
        self.run_caretd("models", "check", "--sums", sums, models / "b")
        with open(models / "b/tokenizer.json", "a") as file:
            file.write(" ")
        done = self.run_caretd("models", "check", "--sums", sums, models / "b", code=1)
        self.assertIn("tokenizer.json", done.stdout)


if __name__ == "__main__":
    sys.exit(unittest.main())
