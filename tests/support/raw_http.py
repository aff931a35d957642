"""A client that sends exactly the bytes it is given and takes the answers apart byte by byte.

    answers = exchange(port, b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    answers[0].status, answers[0].header("Content-Type"), answers[0].body

A Connection can be driven step by step: send(), read_response(), read_until_closed().
"""

import json
import socket
import time


class Incomplete(Exception):
    """The peer closed or went silent before a whole answer had arrived; .received has the bytes."""

    def __init__(self, why, received):
        super().__init__(f"{why}; received {received[:300]!r}")
        self.received = received


class Response:
    def __init__(self, status, reason, version, headers, body, raw_head):
        self.status, self.reason, self.version = status, reason, version
        self.headers = headers  # list of (name, value) as bytes-decoded latin-1, in order
        self.body = body
        self.raw_head = raw_head
        self.interim = []  # 1xx answers that came before
        self.trailers = []

    def header(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def __repr__(self):
        return f"<Response {self.status} {self.headers} {self.body[:200]!r}>"


class Connection:
    def __init__(self, port, host="127.0.0.1", timeout=10.0, source=None, tls=None, server_name=None):
        self.timeout = timeout
        if isinstance(port, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(port)
        else:
            self.sock = socket.create_connection(
                (host, port), timeout=timeout, source_address=(source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=server_name or host)
        self.buffer = b""
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _fill(self, end):
        self.sock.settimeout(max(0.001, end - time.monotonic()))
        try:
            data = self.sock.recv(262144)
        except (socket.timeout, TimeoutError):
            raise Incomplete("no answer in time", self.buffer) from None
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            raise Incomplete("closed", self.buffer)
        self.buffer += data

    def _take_until(self, mark, end):
        while mark not in self.buffer:
            self._fill(end)
        taken, self.buffer = self.buffer.split(mark, 1)
        return taken

    def _take(self, count, end):
        parts, have = [self.buffer], len(self.buffer)
        while have < count:
            self.buffer = b""
            self._fill(end)
            parts.append(self.buffer)
            have += len(self.buffer)
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def _head(self, end):
        raw = self._take_until(b"\r\n\r\n", end)
        first, *lines = raw.split(b"\r\n")
        version, status, *reason = first.split(b" ", 2)
        headers = []
        for line in lines:
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
        return Response(int(status), reason[0].decode() if reason else "", version.decode(), headers,
                        b"", raw + b"\r\n\r\n")

    def _chunked(self, response, end):
        parts = []
        while True:
            size = int(self._take_until(b"\r\n", end).split(b";")[0], 16)
            if size == 0:
                break
            parts.append(self._take(size, end))
            assert self._take(2, end) == b"\r\n", "chunk data without CRLF"
        while True:
            line = self._take_until(b"\r\n", end)
            if not line:
                return b"".join(parts)
            name, _, value = line.partition(b":")
            response.trailers.append((name.decode("latin-1"), value.strip().decode("latin-1")))

    def read_response(self, method="GET", timeout=None):
        end = time.monotonic() + (timeout or self.timeout)
        interim = []
        response = self._head(end)
        while response.status < 200 and response.status != 101:
            interim.append(response)
            response = self._head(end)
        response.interim = interim
        if method == "HEAD" or response.status in (204, 304):
            return response
        if any("chunked" in value.lower() for value in response.all("Transfer-Encoding")):
            response.body = self._chunked(response, end)
        elif response.header("Content-Length") is not None:
            response.body = self._take(int(response.header("Content-Length")), end)
        else:
            response.body = self.read_until_closed(end - time.monotonic())
        return response

    def read_until_closed(self, timeout=None):
        """Everything up to the peer's FIN (or RST); Incomplete when it does not close in time."""
        end = time.monotonic() + (timeout or self.timeout)
        while True:
            try:
                self._fill(end)
            except Incomplete:
                if self.closed:
                    data, self.buffer = self.buffer, b""
                    return data
                raise

    def is_closed_within(self, seconds):
        try:
            self.read_until_closed(seconds)
        except Incomplete:
            return False
        return True


def exchange(port, data, timeout=10.0, methods=("GET",), **options):
    """Sends bytes on a new connection; one Response per method named in `methods`."""
    with Connection(port, timeout=timeout, **options) as connection:
        connection.send(data)
        return [connection.read_response(method) for method in methods]


def send_and_close(port, data, timeout=10.0, **options):
    """Sends bytes and returns (responses so far, bytes left over, closed by the peer).

    For requests that may be answered, refused without an answer, or left hanging.
    """
    with Connection(port, timeout=timeout, **options) as connection:
        try:
            connection.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while we were still sending: the answer may be there all the same
        responses = []
        try:
            while True:
                responses.append(connection.read_response())
        except (Incomplete, ValueError):
            return responses, connection.buffer, connection.closed


def request(port, method="GET", target="/", headers=(), body=None, timeout=10.0, **options):
    """One ordinary request on a connection of its own."""
    lines = [f"{method} {target} HTTP/1.1".encode("latin-1")]
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    names = {name.lower() for name, _ in pairs}
    if "host" not in names:
        pairs.insert(0, ("Host", "test.example"))
    if "connection" not in names:
        pairs.append(("Connection", "close"))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        pairs.append(("Content-Length", str(len(body))))
    lines += [f"{name}: {value}".encode("latin-1") for name, value in pairs]
    data = b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")
    with Connection(port, timeout=timeout, **options) as connection:
        connection.send(data)
        return connection.read_response(method)
