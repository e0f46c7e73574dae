"""Who else talks to the daemon: hostile peers, other machines, and many requests."""

import os
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
import unittest

from session import (ANSWER, CARETD, FULL, PATIENCE, TEXT, URI, Client, Home, Peer,
                     completion_message, open_message)


class Peers(unittest.TestCase):
    def test_the_socket_is_the_users_alone(self):
        with Home() as home:
            home.run("daemon", "start")
            self.assertEqual(0o700, home.socket.parent.stat().st_mode & 0o777)
            self.assertEqual(0, home.socket.stat().st_mode & 0o077)

    def interpreter_of_nobody(self):
        """Python as another user, who may not be able to run the one that runs this."""
        for python in (sys.executable, "/usr/bin/python3"):
            command = ["setpriv", "--reuid=65534", "--clear-groups", python]
            if subprocess.run([*command, "-c", ""], capture_output=True).returncode == 0:
                return command
        self.skipTest("no Python that another user can run")

    @unittest.skipUnless(os.geteuid() == 0, "needs another user to try with")
    def test_another_user_is_turned_away_even_if_the_folder_is_open(self):
        with Home() as home:
            home.run("daemon", "start")
            home.folder.chmod(0o755)
            home.socket.parent.parent.chmod(0o755)
            attempt = ("import socket,sys; s=socket.socket(socket.AF_UNIX); "
                       f"s.connect({str(home.socket)!r}); s.settimeout(60); "
                       "s.sendall(b'{\"caretd\":\"0.1.0\",\"for\":\"status\"}\\n'); "
                       "sys.exit(0 if s.recv(10) else 7)")
            as_nobody = [*self.interpreter_of_nobody(), "-c", attempt]
            outcome = subprocess.run(as_nobody, capture_output=True, text=True)
            self.assertIn("PermissionError", outcome.stderr)
            home.socket.parent.chmod(0o755)
            home.socket.chmod(0o666)
            outcome = subprocess.run(as_nobody, capture_output=True, text=True)
            # Connected, and dropped by the check of its credentials.
            self.assertTrue(outcome.returncode == 7 or "reset" in outcome.stderr.lower()
                            or "BrokenPipe" in outcome.stderr, outcome)
            home.socket.parent.chmod(0o700)

    def test_a_peer_that_talks_nonsense_or_nothing_hurts_nobody(self):
        with Home() as home:
            home.run("daemon", "start")
            silent = socket.socket(socket.AF_UNIX)
            silent.connect(str(home.socket))
            for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100_000, b'{"caretd":1}\n', b""):
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect(str(home.socket))
                    try:
                        peer.sendall(junk)
                        peer.shutdown(socket.SHUT_WR)
                        peer.recv(4096)
                    except OSError:
                        pass
            client = Client(home)
            client.initialize()
            client.open()
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            client.close()
            silent.close()

    def test_peers_that_flood_or_stall_hurt_only_themselves(self):
        with Home() as home:
            home.run("daemon", "start")
            # More of them than there are threads to serve them.
            peers = [Peer.of(home) for _ in range(4)]
            body = b'{"jsonrpc":"2.0","id":2,"method":"caretd/stats"}'
            flood = (b"Content-Length: %d\r\n\r\n" % len(body) + body) * 2000
            for peer in peers[:3]:
                peer.initialize()
                peer.socket.settimeout(0.2)
                try:
                    for _ in range(100):
                        peer.socket.sendall(flood)  # and reads none of the answers
                except OSError:
                    pass
            peers[3].stream.write(b"Content-Length: 1000\r\n\r\n{")
            peers[3].stream.flush()
            client = Client(home)
            client.initialize()
            client.open()
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            client.call("caretd/status", {})
            self.assertEqual(0, client.close())
            self.assertLess(home.status()["memoryBytes"], 700 << 20)
            for peer in peers:
                peer.close()

    def test_a_peer_that_reads_late_is_told_goodbye(self):
        with Home() as home:
            home.run("daemon", "start")
            with Peer.of(home) as peer:
                peer.initialize()
                # More answers than the socket takes.
                peer.send(*[{"id": number, "method": "caretd/stats"} for number in range(1, 1000)])
                time.sleep(0.5)
                os.kill(home.status()["pid"], signal.SIGTERM)
                time.sleep(0.1)  # by now it stands behind all of them
                self.assertIn(b"$/caretd/goodbye", peer.stream.read())

    def test_a_session_may_leave_only_so_many_requests_open(self):
        with Home() as home:
            home.run("daemon", "start", "--set", "daemon.max_requests_per_session=2")
            with Peer.of(home) as greedy:
                greedy.initialize()
                uris = [f"file:///project/{number}.py" for number in range(20)]
                # All of them are there before the first is answered, however slowly they are sent.
                daemon = home.status()["pid"]
                os.kill(daemon, signal.SIGSTOP)
                greedy.send(*[open_message(uri) for uri in uris],
                            *[completion_message(number, uri)
                              for number, uri in enumerate(uris, 1)])
                os.kill(daemon, signal.SIGCONT)
                answers = [greedy.next_answer() for _ in uris]
                refused = [answer for answer in answers if "error" in answer]
                self.assertTrue(refused)
                self.assertLess(len(refused), 20)
                for answer in refused:
                    self.assertIn("Too many requests", answer["error"]["message"])

    def test_a_session_may_open_only_so_much_text(self):
        large = "file:///project/large.py"
        with Home() as home:
            client = Client(home, "--set", "daemon.max_open_mebibytes_per_session=1")
            client.initialize()
            client.open()
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            client.open("x = 1\n" * 200_000, large)
            self.assertIsNone(client.complete(uri=large))
            self.assertIn("more than 1 MiB", client.shown())
            self.assertEqual(ANSWER, client.complete().strip())
            # Growing beyond it is the same, and smaller again is fine.
            client.notify("textDocument/didChange", {
                "textDocument": {"uri": URI, "version": 2},
                "contentChanges": [{"text": TEXT + "x = 1\n" * 200_000}]})
            self.assertIsNone(client.complete())
            client.open()
            self.assertEqual(ANSWER, client.complete().strip())
            self.assertEqual(0, client.close())

    def test_a_message_over_the_limit_costs_an_error_and_no_memory(self):
        with Home() as home:
            client = Client(home)
            client.initialize()
            client.open()
            client.complete_when_ready()
            before = memory_of(client.process.pid)["Rss"]
            client.open("x = 1\n" * 12_000_000, "file:///project/huge.py")
            client.call("caretd/status", {})
            self.assertRegex(client.faults[0]["error"]["message"], "bytes was skipped")
            self.assertLess(memory_of(client.process.pid)["Rss"], before + (4 << 20))
            self.assertEqual(ANSWER, client.complete().strip())
            # The same without a relay in between.
            before = settled(home, sessions=1)["memoryBytes"]
            with Peer.of(home) as peer:
                peer.initialize()
                peer.send(open_message("file:///project/huge.py", "x = 1\n" * 12_000_000))
                self.assertIn("bytes was skipped", peer.next_answer()["error"]["message"])
            self.assertLess(settled(home, sessions=1)["memoryBytes"], before + (32 << 20))
            self.assertEqual(0, client.close())

    def test_sessions_do_not_see_each_others_documents(self):
        with Home() as home:
            first, second = Client(home), Client(home)
            for client in (first, second):
                client.initialize()
            first.open()
            self.assertEqual(ANSWER, first.complete_when_ready().strip())
            position = {"textDocument": {"uri": URI}}
            self.assertIsNotNone(first.call("caretd/why", position)["result"])
            self.assertIsNone(second.complete())
            self.assertIsNone(second.call("caretd/why", position)["result"])
            # Equal text needs no second computation all the same.
            second.open()
            self.assertEqual(ANSWER, second.complete_when_ready().strip())
            usage = second.call("caretd/why", position)["result"]["usage"]
            self.assertGreater(usage["cachedTokens"], usage["promptTokens"] // 2, usage)
            first.close()
            second.close()

    def test_other_machines_need_tls_and_the_token(self):
        with Home() as home:
            key, certificate = home.folder / "key.pem", home.folder / "certificate.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-keyout", key, "-out", certificate], check=True, capture_output=True)
            token = home.folder / "token"
            token.write_text("correct horse\n")
            port = free_port()
            exposed = home.run("daemon", "run", "--set", f"listen.address=0.0.0.0:{port}",
                               check=False)
            self.assertIn("listen.token_file", exposed.stderr)
            exposed = home.run("daemon", "run", "--set", f"listen.address=0.0.0.0:{port}",
                               "--set", f"listen.token_file={token}", check=False)
            self.assertIn("listen.certificate", exposed.stderr)

            home.run("daemon", "start", "--set", f"listen.address=127.0.0.1:{port}",
                     "--set", f"listen.token_file={token}",
                     "--set", f"listen.certificate={certificate}", "--set", f"listen.key={key}")
            client = Client(home, "--connect", f"127.0.0.1:{port}", "--token-file", str(token),
                            "--ca-file", str(certificate))
            client.initialize()
            client.open()
            self.assertEqual(ANSWER, client.complete_when_ready().strip())
            self.assertEqual(0, client.close())

            untrusted = home.run("lsp", "--connect", f"127.0.0.1:{port}", "--token-file", str(token),
                                 check=False)
            self.assertIn("TLS failed", untrusted.stderr)
            context = ssl.create_default_context(cafile=str(certificate))
            for wrong in (None, "correct hors", "wrong horse!!"):
                secured = context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                              server_hostname="127.0.0.1")
                with Peer(secured, wrong) as peer:
                    self.assertIn("token", peer.welcome["error"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Load(unittest.TestCase):
    def test_many_connects_and_requests_leave_nothing_behind(self):
        connects, requests = (500, 200) if FULL else (40, 50)
        with Home() as home:
            home.run("daemon", "start")

            def visit():
                with Peer.of(home) as peer:
                    peer.initialize()
                    peer.send(open_message())
                    for number in range(1, requests):
                        peer.send({"id": number, "method": "caretd/status", "params": {}})
                        self.assertIn("result", peer.receive(number))
                    peer.send(completion_message(requests))
                    peer.receive(requests)

            for _ in range(connects // 4):
                visit()
            before = settled(home)
            for _ in range(connects - connects // 4):
                visit()
            after = settled(home, at_most=before)
            print(f"{connects} connects, {connects * requests} requests: {before} -> {after}",
                  file=sys.stderr)
            self.assertLessEqual(after["descriptors"], before["descriptors"])
            self.assertLessEqual(after["threads"], before["threads"])
            self.assertLess(after["memoryBytes"], before["memoryBytes"] + (16 << 20))

    def test_what_the_relay_adds(self):
        with Home() as home:
            client = Client(home)
            client.initialize()
            client.open()
            client.complete_when_ready()
            direct, relayed = [], []
            with Peer.of(home) as peer:
                peer.initialize()
                for number in range(1, 2001):
                    begin = time.perf_counter()
                    peer.send({"id": number, "method": "caretd/status", "params": {}})
                    peer.receive(number)
                    middle = time.perf_counter()
                    client.call("caretd/status", {})
                    direct.append(1000 * (middle - begin))
                    relayed.append(1000 * (time.perf_counter() - middle))
            added = [statistics.quantiles(relayed, n=100)[rank] -
                     statistics.quantiles(direct, n=100)[rank] for rank in (49, 98)]
            memory = memory_of(client.process.pid)
            print(f"the relay adds {added[0]:.3f} ms (p50), {added[1]:.3f} ms (p99) and takes "
                  f"{memory['Rss'] / 1e6:.1f} MB, {memory['Private'] / 1e6:.1f} MB of it for itself",
                  file=sys.stderr)
            if FULL:  # on a machine that does nothing else
                self.assertLess(max(added), 0.3)
            # How much of it is private depends on the kernel: 2 and 3 MB were seen.
            if "asan" not in CARETD:
                self.assertLess(memory["Rss"], 10_000_000)
            client.close()


def memory_of(pid):
    """Bytes of a process: resident, its share of what it shares, and what is its own."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        kilobytes = {line.split()[0].rstrip(":"): int(line.split()[1])
                     for line in lines if line.strip().endswith("kB")}
    own = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"Rss": kilobytes["Rss"] * 1024, "Pss": kilobytes["Pss"] * 1024, "Private": own * 1024}


def settled(home, sessions=0, at_most=None):
    """The daemon's figures once all but so many sessions have ended; if it comes to that, with no
    more descriptors and threads than `at_most` has: what a session held is closed behind its end."""
    deadline = time.monotonic() + PATIENCE
    while True:
        status = home.status()
        figures = {name: status[name] for name in ("memoryBytes", "descriptors", "threads")}
        # The one that asks is no session.
        ended = len(status["sessions"]) == sessions and not status["engines"][0]["busy"]
        more = at_most and any(figures[name] > at_most[name] for name in ("descriptors", "threads"))
        late = time.monotonic() > deadline
        if ended and (late or not more):
            return figures
        if late:
            raise TimeoutError("sessions are left")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(unittest.main())
