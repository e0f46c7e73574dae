"""The daemon's life with the real binary: many editors, crashes, configuration."""

import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from session import (ANSWER, CARETD, FULL, HOLE, PATIENCE, ROOT, TEXT, URI, Client, Home, Peer,
                     completion_message, open_message, version)


def span(start, end):
    return {name: {"line": line, "character": character}
            for name, (line, character) in (("start", start), ("end", end))}


class Life(unittest.TestCase):
    def test_ten_relays_at_once_share_one_daemon(self):
        with Home() as home:
            def edit(_):
                client = Client(home)
                client.initialize()
                client.open()
                text = client.complete_when_ready(timeout=2 * PATIENCE)
                return client, text

            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                clients, texts = zip(*pool.map(edit, range(10)))
            self.assertEqual({ANSWER}, {text.strip() for text in texts})
            self.assertEqual(1, len(home.daemon_pids()))
            status = home.status()
            self.assertEqual(10, len(status["sessions"]))
            self.assertEqual(1, len(status["engines"]))
            self.assertEqual([0] * 10, [client.close() for client in clients])
            self.assertEqual(1, len(home.daemon_pids()))

    def test_a_killed_daemon_is_replaced_and_knows_the_text(self):
        with Home() as home:
            client = Client(home)
            client.initialize()
            client.open()
            client.complete_when_ready()
            worst = 0
            rounds = 20 if FULL else 5
            for line in range(rounds):
                # The document as typed so far lives in the relay; the daemon that is asked next has
                # never seen it. Columns are UTF-16: the emoji counts twice.
                client.notify("textDocument/didChange", {
                    "textDocument": {"uri": URI, "version": line + 2}, "contentChanges": [
                        {"range": span((line, 0), (line, 0)), "text": f"# \U0001f600 edit {line}\n"},
                        {"range": span((line, 4), (line, 9)), "text": ""}]})
                hole = {"line": HOLE["line"] + line + 1, "character": HOLE["character"]}
                if line % 2 == 0:  # else it dies with the change under way
                    client.complete_when_ready(position=hole)
                os.kill(home.daemon_pids()[0], signal.SIGKILL)
                begin = time.monotonic()
                text = client.complete_when_ready(position=hole)
                worst = max(worst, time.monotonic() - begin)
                # What a session is answered that opens the text as it should be by now.
                expected = "".join(f"# \U0001f600 {above}\n" for above in range(line + 1)) + TEXT
                with Peer.of(home) as undisturbed:
                    undisturbed.initialize()
                    undisturbed.send(open_message(text=expected), completion_message(1, position=hole))
                    items = undisturbed.receive(1)["result"]["items"]
                self.assertEqual(items[0]["insertText"], text)
            print(f"served again after kill -9 within {worst:.2f} s at worst", file=sys.stderr)
            if FULL:  # on a machine that does nothing else
                self.assertLess(worst, 3)
            self.assertEqual(0, client.duplicates)
            self.assertEqual(1, len(home.daemon_pids()))
            self.assertEqual(0, client.close())
            home.run("daemon", "stop")
            self.assertEqual([], home.daemon_pids())
            self.assertFalse(home.socket.exists())

    def test_a_request_under_way_when_the_daemon_dies_is_answered_once(self):
        with Home() as home:
            client = Client(home)
            client.initialize()
            client.open()
            client.complete_when_ready()
            pid = home.daemon_pids()[0]
            os.kill(pid, signal.SIGSTOP)  # nothing is answered any more
            request = client.ask("textDocument/inlineCompletion", {
                "textDocument": {"uri": URI}, "position": {"line": 0, "character": 3},
                "context": {"triggerKind": 1}})
            client.wait_until_passed_on()
            os.kill(pid, signal.SIGKILL)
            answer = client.wait(request)
            self.assertIsNone(answer["result"])
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            self.assertEqual(0, client.duplicates)
            self.assertEqual(0, client.close())

    def test_a_daemon_that_always_ends_is_given_up(self):
        with Home() as home, socket.socket(socket.AF_UNIX) as listener:
            home.socket.parent.mkdir(mode=0o700)
            listener.bind(str(home.socket))
            listener.listen()
            listener.settimeout(PATIENCE)
            client = Client(home)
            welcome = json.dumps({"caretd": version(), "ok": True, "pid": 1}).encode() + b"\n"
            begins = []
            while len(begins) < 10:  # each is greeted, reads what it is told, and ends
                peer, _ = listener.accept()
                begins.append(time.monotonic())
                peer.recv(4096)
                peer.sendall(welcome)
                if len(begins) == 1:
                    client.ask("initialize", {"processId": None, "capabilities": {}})
                peer.recv(4096)
                peer.close()
                if len(begins) == 9:  # in the longest pause, nobody waits for an answer
                    self.assertIsNone(client.complete(timeout=2))
            self.assertEqual(1, client.process.wait(timeout=PATIENCE))
            client.reader.join()
            self.assertRegex(client.shown(), "gave up .* ended 10 times within a minute: "
                                             "run caretd doctor .*daemon.stderr, then restart")
            pauses = [later - earlier for earlier, later in zip(begins, begins[1:])]
            self.assertGreater(sum(pauses), 8)
            self.assertGreater(min(pauses[-3:]), 1.5)
            listener.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                listener.accept()

    def test_start_status_restart_and_stop(self):
        with Home() as home:
            self.assertEqual(3, home.run("daemon", "status", check=False).returncode)
            self.assertIn("was started", home.run("daemon", "start").stdout)
            self.assertIn("already", home.run("daemon", "start").stdout)
            first = home.status()["pid"]
            home.run("daemon", "restart")
            self.assertNotEqual(first, home.status()["pid"])
            second = home.run("daemon", "run", check=False)
            self.assertNotEqual(0, second.returncode)
            self.assertIn("running already", second.stderr)
            home.run("daemon", "stop")
            self.assertFalse(home.socket.exists())
            self.assertEqual(3, home.run("daemon", "stop", check=False).returncode)

    def test_standalone_needs_no_daemon(self):
        with Home() as home:
            client = Client(home, "--standalone")
            client.initialize()
            client.open()
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            self.assertEqual(0, client.close())
            self.assertEqual([], home.daemon_pids())

    def test_another_version_is_told_apart_from_absence(self):
        with Home() as home:
            home.socket.parent.mkdir(mode=0o700)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(home.socket))
                listener.listen()
                listener.settimeout(PATIENCE)
                client = Client(home)
                peer, _ = listener.accept()
                peer.recv(4096)
                peer.sendall(b'{"caretd": "99.0.0", "ok": true, "pid": 1}\n')
                client.initialize()
                client.open()
                self.assertEqual(ANSWER, client.complete_when_ready().strip())
                self.assertRegex(client.shown(), "99.0.0.*restart")
                self.assertEqual(0, client.close())
                peer.close()

    def test_a_stopped_daemon_comes_back_when_it_is_needed_and_not_before(self):
        with Home() as home:
            idle, active = Client(home), Client(home)
            for client in (idle, active):
                client.initialize()
                client.open()
            active.complete_when_ready()
            home.run("daemon", "stop")
            time.sleep(0.3)
            self.assertEqual([], home.daemon_pids())
            self.assertEqual(0, idle.close())
            self.assertEqual([], home.daemon_pids())
            self.assertEqual(ANSWER, active.complete_when_ready().strip())
            self.assertEqual(0, active.close())

    def test_what_was_asked_before_a_stop_is_answered(self):
        with Home() as home:
            client = Client(home)
            client.initialize()
            client.open()
            client.complete_when_ready()
            client.notify("textDocument/didChange", {
                "textDocument": {"uri": URI, "version": 2}, "contentChanges": [
                    {"range": span((0, 0), (0, 0)), "text": "import os\n"}]})
            request = client.ask("textDocument/inlineCompletion", {
                "textDocument": {"uri": URI}, "context": {"triggerKind": 1},
                "position": {"line": HOLE["line"] + 1, "character": HOLE["character"]}})
            # One answer after it: the daemon has read the request, and the stop comes after it.
            client.call("caretd/status", {})
            home.run("daemon", "stop")
            self.assertTrue(client.wait(request)["result"]["items"])
            self.assertEqual(0, client.close())
            self.assertEqual([], home.daemon_pids())

    def test_a_daemon_that_hangs_is_stopped_by_force(self):
        with Home() as home:
            home.run("daemon", "start")
            os.kill(home.status()["pid"], signal.SIGSTOP)
            home.run("daemon", "stop")
            self.assertEqual([], home.daemon_pids())
            home.run("daemon", "start")
            self.assertEqual(1, len(home.daemon_pids()))

    def test_a_socket_from_systemd_is_taken_over(self):
        with Home() as home, socket.socket(socket.AF_UNIX) as listener:
            home.socket.parent.mkdir(mode=0o700)
            listener.bind(str(home.socket))
            listener.listen()
            # As sd_listen_fds(3) says: descriptor 3, and the number of the very process.
            activated = subprocess.Popen(
                ["/bin/sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "{CARETD}" daemon run 3<&"$FD"'],
                env={**home.environment, "FD": str(listener.fileno())},
                pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
            client = Client(home)
            client.initialize()
            client.open()
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            self.assertEqual(activated.pid, home.status()["pid"])
            self.assertEqual(0, client.close())
            home.run("daemon", "stop")
            self.assertEqual(0, activated.wait(timeout=PATIENCE))
            self.assertTrue(home.socket.exists())  # systemd's to remove

    def test_the_log_never_holds_text_of_documents(self):
        with Home(CARETD_LOG_LEVEL="trace") as home:
            home.run("daemon", "start")
            client = Client(home)
            client.initialize()
            client.open()
            client.complete_when_ready()
            client.notify("textDocument/didChange", {
                "textDocument": {"uri": URI, "version": "no number"}, "contentChanges": [
                    {"text": "sesame = open"}]})
            client.call("caretd/status", {})
            client.close()
            home.run("daemon", "stop")
            logs = list((home.folder / ".local/state/caretd").iterdir())
            text = "".join(log.read_text() for log in logs)
            self.assertIn("inlineCompletion", text)
            for secret in ("save_config", "json.dump", "sesame"):
                self.assertNotIn(secret, text)


class Configuration(unittest.TestCase):
    def test_the_file_is_read_again_when_it_changes(self):
        with Home() as home:
            client = Client(home)
            client.initialize()
            client.open()
            client.complete_when_ready()
            folder = home.folder / ".config/caretd"
            folder.mkdir(parents=True)
            (folder / "config.toml").write_text("[completion]\nenabled = false\n")
            deadline = time.monotonic() + PATIENCE
            while client.complete() is not None:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
            (folder / "config.toml").write_text("")
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            client.close()

    def test_a_project_file_holds_at_once_and_only_for_its_project(self):
        with Home() as home:
            project = home.folder / "project"
            project.mkdir()
            inside, outside = Client(home), Client(home)
            inside.initialize(rootUri=project.as_uri())
            outside.initialize()
            for client in (inside, outside):
                client.open()
                client.complete_when_ready()
            (project / ".caretd.toml").write_text("[completion]\nenabled = false\n")
            deadline = time.monotonic() + PATIENCE
            while inside.complete() is not None:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
            self.assertEqual(ANSWER, outside.complete().strip())
            inside.close()
            outside.close()

    def test_a_hostile_project_file_is_not_read_and_stops_nobody(self):
        with Home() as home:
            secret = home.folder / "secret"
            secret.write_text("[completion]\nopen_sesame = 1\n")
            for hostile in (lambda file: file.symlink_to(secret), os.mkfifo,
                            lambda file: file.write_text("a = 1\n" * 300_000),
                            lambda file: file.write_bytes(bytes(range(256)) * 16)):
                project = pathlib.Path(tempfile.mkdtemp(dir=home.folder))
                hostile(project / ".caretd.toml")
                client = Client(home)
                client.initialize(rootUri=project.as_uri())
                client.open()
                self.assertEqual(ANSWER, client.complete_when_ready().strip())
                shown = client.shown()
                self.assertIn(".caretd.toml", shown)
                self.assertNotIn("sesame", shown)
                self.assertEqual(0, client.close())

    def test_a_cloned_project_cannot_choose_the_model(self):
        with Home() as home:
            project = home.folder / "project"
            project.mkdir()
            (project / ".caretd.toml").write_text(
                '[model]\npath = "/etc"\n[remote]\nurl = "http://192.0.2.1"\n')
            client = Client(home)
            client.initialize(rootUri=project.as_uri(),
                              workspaceFolders=[{"uri": project.as_uri(), "name": "p"}])
            client.open()
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            shown = client.shown()
            self.assertIn("model.path cannot be set by a project", shown)
            self.assertIn("remote.url cannot be set by a project", shown)
            self.assertEqual(["tiny"], [engine["model"] for engine in home.status()["engines"]])
            client.close()

    def test_what_a_relay_is_given_holds_for_its_session_alone(self):
        with Home() as home:
            off = Client(home, "--set", "completion.enabled=false")
            on = Client(home)
            for client in (off, on):
                client.initialize()
                client.open()
            self.assertEqual(ANSWER, on.complete_when_ready().strip())
            self.assertIsNone(off.complete())
            off.close()
            on.close()

    def test_a_relays_own_file_holds_for_its_window_alone(self):
        with Home() as home:
            off = home.folder / "off.toml"
            off.write_text('[completion]\nenabled = false\n[http]\naddress = "127.0.0.1:0"\n')
            # One relay starts the daemon, the other finds it; the path is the relay's to understand.
            first = Client(home, "--config", "off.toml", cwd=home.folder)
            first.initialize()
            first.open()
            second, plain = Client(home, "--config", str(off)), Client(home)
            for client in (second, plain):
                client.initialize()
                client.open()
            self.assertEqual(ANSWER, plain.complete_when_ready().strip())
            self.assertIsNone(first.complete())
            self.assertIsNone(second.complete())
            self.assertEqual(1, len(home.daemon_pids()))
            self.assertNotIn("http", home.status())
            self.assertIn("http.address in this window's --config file", first.shown())
            self.assertNotIn("http.address", plain.shown())
            off.write_text("")
            self.assertEqual(ANSWER, second.complete_when_ready().strip())
            # The same through a new daemon.
            off.write_text("[completion]\nenabled = false\n")
            os.kill(home.daemon_pids()[0], signal.SIGKILL)
            self.assertEqual(ANSWER, plain.complete_when_ready().strip())
            self.assertIsNone(second.complete())
            for client in (first, second, plain):
                self.assertEqual(0, client.close())

    def test_relative_paths_are_those_of_who_says_them(self):
        with Home() as home:
            (home.folder / "models").symlink_to(ROOT / "models")
            (home.folder / "own.toml").write_text("[daemon]\nmax_sessions = 2\n")
            done = subprocess.run([CARETD, "daemon", "start", "--config", "own.toml"], cwd=home.folder,
                                  env=home.environment, capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(0, done.returncode, done.stderr)
            clients = [Client(home, "--model", "models/tiny", cwd=home.folder)]
            home.environment["CARETD_MODEL_PATH"] = "./models/tiny"
            clients.append(Client(home, cwd=home.folder))
            for client in clients:
                client.initialize()
                client.open()
                self.assertEqual(ANSWER, client.complete_when_ready().strip(), client.shown())
            third = Client(home, cwd=home.folder)
            third.initialize()
            self.assertIn("daemon.max_sessions", third.shown())

    def test_weights_leave_when_idle_and_come_back(self):
        with Home(CARETD_DAEMON_IDLE_UNLOAD_MINUTES="0.02") as home:
            client = Client(home)
            client.initialize(capabilities={"window": {"workDoneProgress": True}})
            client.open()
            client.complete_when_ready()
            loads = client.progress_bars()
            deadline = time.monotonic() + PATIENCE
            while home.status()["engines"][0]["state"] != "off":
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            client.notify("caretd/didFocus", {"textDocument": {"uri": URI}, "position": HOLE})
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            deadline = time.monotonic() + PATIENCE
            while client.progress_bars() == loads:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            client.close()


if __name__ == "__main__":
    sys.exit(unittest.main())
