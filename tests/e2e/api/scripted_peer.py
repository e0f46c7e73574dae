"""A server with OpenAI's API as its reference describes it, whose differences can be switched on."""

import http.server
import json
import ssl
import threading
import time


class Peer:
    """Serves until close(). `requests` are the bodies of completions, in the order they came."""

    def __init__(self, certificate=None, **differences):
        self.differences = {"text": ["a ", "+ 1"], **differences}
        self.requests = []
        self.headers = []
        self.targets = []
        self.closed_by_client = threading.Event()
        handler = type("Handler", (Handler,), {"peer": self})
        self.server = PeerServer(("127.0.0.1", 0), handler)
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.port}"

    def keystrokes(self):
        """The requests that somebody waited for; work in the background comes when it comes."""
        return [body for body, headers in zip(self.requests, self.headers)
                if headers["X-Caretd-Priority"] == "keystroke"]

    def set(self, **differences):
        self.differences.update(differences)

    def restart(self):
        """After close(): serves at the same address again."""
        address = self.server.server_address
        self.server = PeerServer(address, self.server.RequestHandlerClass)
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class PeerServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that go away are what is tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    peer = None

    def log_message(self, *_):
        pass

    def end_headers(self):
        if self.peer.differences.get("closes"):
            self.send_header("Connection", "close")
        super().end_headers()

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.peer.targets.append(self.path)
        if self.peer.differences.get("key") and \
                self.headers.get("Authorization") != "Bearer " + self.peer.differences["key"]:
            return self.reply(401, {"error": {"message": "no such key"}})
        if self.peer.differences.get("loading"):
            self.peer.differences["loading"] -= 1
            return self.reply(503, {"error": {"message": "Loading model", "code": 503}})
        owner = self.peer.differences.get("owner", "somebody")
        self.reply(200, {"object": "list", "data": [{"id": "model-1", "owned_by": owner}]})

    def do_POST(self):
        peer, how = self.peer, self.peer.differences
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        peer.headers.append(dict(self.headers))
        peer.requests.append(body)
        if how.get("drop_next") and self.headers["X-Caretd-Priority"] == "keystroke":
            how["drop_next"] -= 1
            self.connection.close()
            self.close_connection = True
            return
        for field in how.get("refuses", []):
            if field in body:
                return self.reply(400, {"object": "error", "message": f"{field} is not supported"})
        try:
            self.stream(how, body)
        except OSError:
            peer.closed_by_client.set()
            self.close_connection = True

    def stream(self, how, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(how.get("silence", 0))
        for i, text in enumerate(how["text"]):
            if how.get("comments"):
                self.chunk(b": keep-alive\n\n")
            self.event({"choices": [{"index": 0, "text": text, "finish_reason": None}]})
            if how.get("drop_after") == i + 1:
                self.connection.close()
                self.close_connection = True
                return
            if how.get("error_after") == i + 1:
                self.event({"error": {"message": "the machine is on fire", "code": 500}})
                return self.chunk(b"")
        while how.get("endless"):
            self.event({"choices": [{"index": 0, "text": " + 1", "finish_reason": None}]})
            time.sleep(0.02)
        self.event({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
        if how.get("usage", True) and body.get("stream_options", {}).get("include_usage"):
            self.event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def event(self, value):
        data = b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
        if not self.peer.differences.get("split"):
            return self.chunk(data)
        for byte in data:  # every character that has several bytes is cut
            self.chunk(bytes([byte]))

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
