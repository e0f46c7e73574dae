"""Chat and code actions over the wire, by the embedded model: what happens, not the wit of it."""

import ast
import os
import sys
import tempfile
import time
import unittest

from language_client import LanguageClient, private_environment

CARETD = os.environ["CARETD"]
URI = "file:///project/sample.py"
SOURCE = ("import os\n\n\ndef add(a, b):\n    return a + b\n\n\n"
          "def read_lines(path):\n    with open(path) as f:\n        return f.readlines()\n")
CAPABILITIES = {
    "window": {"workDoneProgress": True},
    "workspace": {"applyEdit": True,
                  "workspaceEdit": {"documentChanges": True, "resourceOperations": ["create"]}},
    "textDocument": {"codeAction": {
        "codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}},
        "resolveSupport": {"properties": ["edit"]}}},
    "experimental": {"caretd": {"chat": True, "instruction": True}},
}
CANCELLED = -32800
REQUEST_FAILED = -32803


def place(line, character):
    return {"line": line, "character": character}


class Chat(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.client = LanguageClient([CARETD, "lsp", "--standalone"],
                                     env=private_environment(home.name))
        self.addCleanup(self.client.close)
        self.client.start(CAPABILITIES)
        self.client.wait_until_ready()
        self.streams = 0

    def ask(self, message, **params):
        """Sends a question; the request and the token its partial results come under."""
        self.streams += 1
        token = f"stream-{self.streams}"
        request = self.client.ask("caretd/chat", {"message": message, "partialResultToken": token, **params})
        return request, token

    def part(self, token):
        message = self.client.wait(lambda m: m.get("method") == "$/progress" and
                                   m["params"]["token"] == token)
        return message["params"]["value"]

    def answer(self, message, **params):
        """The whole reply to a question, checked against what was streamed of it."""
        request, token = self.ask(message, **params)
        opening = self.part(token)
        answer = self.client.response(request)
        self.assertIn("result", answer)
        pieces = [m["params"]["value"]["content"] for m in self.client.kept
                  if m.get("method") == "$/progress" and m["params"]["token"] == token]
        self.assertEqual(answer["result"]["content"], "".join(pieces))
        self.assertEqual(opening["conversationId"], answer["result"]["conversationId"])
        return answer["result"]

    def test_a_reply_streams_and_says_what_the_model_is(self):
        result = self.answer("Write a docstring for this function.\n\n```python\ndef add(a, b):\n"
                             "    return a + b\n```", temperature=0)
        self.assertNotEqual("", result["content"].strip())
        self.assertNotIn("<｜", result["content"])
        self.assertIn("'tiny' is a tiny model", result["notice"])
        self.assertIn("chat.model", result["notice"])
        self.assertEqual("tiny", self.client.request("caretd/status", None)["chatModel"])
        self.assertEqual(0, self.client.stop())

    def test_a_second_turn_computes_only_its_own_tokens(self):
        line = "The quick brown fox jumps over the lazy dog near the river bank.\n"
        first = self.answer(line * 60, maxTokens=24)
        long = self.answer(line * 5, maxTokens=24, conversationId=first["conversationId"])
        self.assertGreater(long["promptTokens"], 1500)
        self.assertEqual(0, long["messagesLeftOut"])
        next_turn = self.answer("Why?", maxTokens=24, conversationId=first["conversationId"])
        usage = next_turn["usage"]
        known = long["usage"]["promptTokens"] + long["usage"]["generatedTokens"]
        new = usage["promptTokens"] - known
        self.assertLess(new, 16)
        # The last token of a reply is not run through the model until something follows it.
        self.assertLessEqual(usage["computedTokens"], new + 1)
        self.assertEqual(usage["promptTokens"], usage["computedTokens"] + usage["cachedTokens"])

    def test_the_last_reply_is_given_once_more(self):
        first = self.answer("Write a function that adds two numbers.", maxTokens=40)
        again = self.answer("", regenerate=True, conversationId=first["conversationId"], maxTokens=40)
        self.assertEqual(first["promptTokens"], again["promptTokens"])
        self.assertLessEqual(again["usage"]["computedTokens"], 1)
        self.assertNotEqual("", again["content"])

    def test_cancel_ends_the_decoding(self):
        for _ in range(5):
            generated = self.engine()["generatedTokens"]
            request, token = self.ask("Tell me everything.", temperature=2, maxTokens=1000)
            opening = self.part(token)
            self.wait_for_some_of(request, token)
            self.client.notify("$/cancelRequest", {"id": request})
            answer = self.client.response(request)
            # At this temperature a reply hardly ever ends by itself; one that did says nothing.
            if answer.get("result", {}).get("finishReason") != "end":
                break
        self.assertEqual(CANCELLED, answer["error"]["code"])
        self.assertLess(self.idle_engine()["generatedTokens"] - generated, 1000)
        # What had come of the reply is part of the conversation.
        more = self.answer("Go on.", conversationId=opening["conversationId"], maxTokens=8)
        self.assertGreater(more["promptTokens"], opening["promptTokens"] + 5)

    def wait_for_some_of(self, request, token):
        """Waits for the next piece of a reply; if there is none for its end, which stays to be read."""
        message = self.client.wait(
            lambda m: (m["method"] == "$/progress" and m["params"]["token"] == token)
            if "method" in m else m.get("id") == request)
        if "method" not in message:
            self.client.kept.append(message)

    def engine(self):
        return self.client.request("caretd/stats", None)["engine"]

    def idle_engine(self, generated=0):
        """Its figures once it has nothing to do and has counted so many tokens: answers do not wait for that."""
        deadline = time.monotonic() + self.client.PATIENCE
        while (engine := self.engine())["running"] + engine["queued"] > 0 or engine["generatedTokens"] < generated:
            self.assertLess(time.monotonic(), deadline, engine)
            time.sleep(0.02)
        return engine

    def test_the_first_token_comes_with_the_step_that_ends_the_prompt(self):
        # The same question again finds its prompt computed but for its last token: what it costs
        # is its reply, a step each token.
        first = self.answer("Write a function that adds two numbers.", maxTokens=8, temperature=0)
        before = self.idle_engine(first["usage"]["generatedTokens"])
        for tokens in (1, 5):
            again = self.answer("", regenerate=True, maxTokens=tokens,
                                conversationId=first["conversationId"])
            generated = again["usage"]["generatedTokens"]
            after = self.idle_engine(before["generatedTokens"] + generated)
            self.assertLessEqual(again["usage"]["computedTokens"], 1)
            self.assertEqual(generated, after["generatedTokens"] - before["generatedTokens"])
            # A reply may end in a token that is no part of it.
            self.assertIn(after["steps"] - before["steps"], (generated, generated + 1))
            before = after

    def steps_after_cancel(self):
        """Cancels a long reply as it streams; how many steps the engine took from then on."""
        request, token = self.ask("Tell me everything.", temperature=2, maxTokens=1000)
        self.part(token)
        self.wait_for_some_of(request, token)
        # The server handles messages in their order: the figures are those of when it is told.
        stats = self.client.ask("caretd/stats", None)
        self.client.notify("$/cancelRequest", {"id": request})
        told = self.client.response(stats)["result"]["engine"]
        answer = self.client.response(request)
        if "error" not in answer:
            return None  # the reply ended by itself
        self.assertEqual(CANCELLED, answer["error"]["code"])
        return self.idle_engine()["steps"] - told["steps"]

    def test_cancel_stops_the_decoding_within_a_step(self):
        # Of several, since a busy machine may let the model write between the look at the figures
        # and the cancel behind it; one that ends late by itself ends late every time.
        for _ in range(20):
            steps = self.steps_after_cancel()
            if steps is not None and steps <= 1:
                return
        self.fail(f"{steps} steps after the cancel")

    def test_a_question_is_cancelled_while_its_prompt_is_computed(self):
        request, token = self.ask("word " * 1400, maxTokens=20)
        self.part(token)
        self.client.notify("$/cancelRequest", {"id": request})
        answer = self.client.response(request)
        self.assertEqual(CANCELLED, answer["error"]["code"])

    # Code actions.

    def actions(self, line, diagnostics=(), only=None):
        self.client.open(URI, SOURCE, "python")
        context = {"diagnostics": list(diagnostics), **({"only": only} if only else {})}
        return {action["title"]: action for action in self.client.request(
            "textDocument/codeAction", {
                "textDocument": {"uri": URI}, "context": context,
                "range": {"start": place(line, 4), "end": place(line, 4)}})}

    def bar(self):
        """Agrees to the progress bar of an action, not to that of the loading model; its token."""
        request = self.client.wait(lambda m: m.get("method") == "window/workDoneProgress/create" and
                                   m["params"]["token"].startswith("caretd/action"))
        self.client.send({"id": request["id"], "result": None})
        return request["params"]["token"]

    def applied(self, edit):
        """SOURCE with the edit of it."""
        (change,) = edit["documentChanges"]
        self.assertEqual({"uri": URI, "version": 1}, change["textDocument"])
        (only,) = change["edits"]
        lines = SOURCE.splitlines(keepends=True)
        offsets = [sum(map(len, lines[:at["line"]])) + at["character"]
                   for at in (only["range"]["start"], only["range"]["end"])]
        return SOURCE[:offsets[0]] + only["newText"] + SOURCE[offsets[1]:]

    def check_edit(self, answer):
        """An edit that leaves a sound file, or a sentence that says why there is none; which."""
        if "error" in answer:
            self.assertEqual(REQUEST_FAILED, answer["error"]["code"])
            self.assertIn("nothing was changed", answer["error"]["message"])
            self.assertIn("chat.model", answer["error"]["message"])
            return False
        text = self.applied(answer["result"]["edit"])
        self.assertNotEqual(SOURCE, text)
        self.assertIn("read_lines", {node.name for node in ast.walk(ast.parse(text))
                                     if isinstance(node, ast.FunctionDef)})
        return True

    def resolve(self, action):
        request = self.client.ask("codeAction/resolve", action)
        self.bar()
        return self.client.response(request)

    def test_actions_are_offered_under_their_kinds(self):
        diagnostic = {"range": {"start": place(4, 11), "end": place(4, 12)}, "message": "a is wrong"}
        kinds = {title: action["kind"] for title, action in self.actions(4, [diagnostic]).items()}
        self.assertEqual({"Fix: a is wrong": "quickfix", "Document 'add'": "refactor.rewrite",
                          "Refactor 'add' with an instruction…": "refactor.rewrite",
                          "Explain 'add'": "source.explain",
                          "Write tests for 'add'": "source.writeTests"}, kinds)

    def test_document_edits_the_function(self):
        # The model has learnt to write doc strings: this one is no matter of chance.
        answer = self.resolve(self.actions(4)["Document 'add'"])
        self.assertTrue(self.check_edit(answer), answer)
        tree = ast.parse(self.applied(answer["result"]["edit"]))
        add = next(node for node in tree.body if getattr(node, "name", "") == "add")
        self.assertTrue(ast.get_docstring(add))

    def test_fix_edits_or_says_why_not(self):
        diagnostic = {"range": {"start": place(4, 11), "end": place(4, 12)}, "message": "a is wrong"}
        self.check_edit(self.resolve(self.actions(4, [diagnostic])["Fix: a is wrong"]))

    def test_explain_streams(self):
        command = self.actions(4)["Explain 'add'"]["command"]
        command["arguments"][0]["partialResultToken"] = "explain"
        request = self.client.ask("workspace/executeCommand", command)
        self.assertIn("conversationId", self.part("explain"))
        result = self.client.response(request)["result"]
        more = self.answer("Shorter.", conversationId=result["conversationId"], maxTokens=8)
        self.assertGreater(more["promptTokens"], result["promptTokens"])

    def commanded(self, title, **argument):
        """Runs an action's command, applies what it asks to; its answer and the edit."""
        command = self.actions(4)[title]["command"]
        command["arguments"][0].update(argument)
        request = self.client.ask("workspace/executeCommand", command)
        self.bar()
        message = self.client.wait(lambda m: m.get("method") == "workspace/applyEdit" or
                                   ("method" not in m and m.get("id") == request))
        if "method" not in message:
            return message, None
        self.client.send({"id": message["id"], "result": {"applied": True}})
        return self.client.response(request), message["params"]["edit"]

    def test_refactor_takes_an_instruction_and_applies_its_edit(self):
        answer, edit = self.commanded("Refactor 'add' with an instruction…",
                                      instruction="Add a docstring to this function.")
        if edit is not None:
            self.assertEqual({"applied": True}, answer["result"])
            answer = {"result": {"edit": edit}}
        self.check_edit(answer)

    def test_tests_go_into_a_file_of_their_own(self):
        answer, edit = self.commanded("Write tests for 'add'")
        if edit is None:
            self.assertFalse(self.check_edit(answer))
        else:
            self.assertEqual("file:///project/test_sample.py", edit["documentChanges"][0]["uri"])
            self.assertEqual({"applied": True}, answer["result"])

    def test_an_action_is_cancelled_by_its_bar(self):
        action = self.actions(4)["Document 'add'"]
        for _ in range(20):
            request = self.client.ask("codeAction/resolve", action)
            token = self.bar()
            self.client.notify("window/workDoneProgress/cancel", {"token": token})
            answer = self.client.response(request)
            if "error" in answer:
                self.assertEqual(CANCELLED, answer["error"]["code"], answer)
                return
        # A reply may be complete before the bar is pressed, but not every time.
        self.fail("the bar never cancelled")


if __name__ == "__main__":
    sys.exit(unittest.main())
