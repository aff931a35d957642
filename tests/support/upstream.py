"""A scripted HTTP/1.1 upstream on a raw socket that records the exact bytes it receives.

    with Upstream() as upstream:
        upstream.answer(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        ...
        upstream.requests[0].raw            # every byte of the request, as received
        upstream.requests[0].header("Host")

`answer` takes bytes, or a function (request, connection) -> bytes | None. The function may write to
connection.sock by itself and return None; connection.close() ends the connection afterwards.
Matching by path: upstream.on("/slow", function).

Upstream(tls=context) speaks HTTPS (support/certificates.py). What a suite needs to have it as its one
upstream: Suite(**upstream.reach(ca_file), ...).
"""

import select
import socket
import ssl
import struct
import threading
import time

from .wait import wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Request:
    def __init__(self, raw_head, body, raw, connection_number):
        self.raw_head, self.body, self.raw = raw_head, body, raw
        self.connection = connection_number
        first, *lines = raw_head.rstrip(b"\r\n").split(b"\r\n")
        self.line = first
        self.method, self.target, self.version = (first.split(b" ", 2) + [b"", b""])[:3]
        self.headers = []
        for line in lines:
            name, _, value = line.partition(b":")
            self.headers.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))

    def header(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __repr__(self):
        return f"<Request {self.line!r} body {len(self.body)} bytes>"


class _Closed(Exception):
    pass


class _SharedTls:
    """A TLS socket that a test writes to while the serving thread waits in recv: OpenSSL lets one thread
    at a time into a connection, so nobody waits inside."""

    def __init__(self, sock):
        sock.setblocking(False)
        self._sock, self._timeout, self._inside = sock, None, threading.Lock()

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def settimeout(self, seconds):
        self._timeout = seconds

    def _when_ready(self, step):
        end = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            reads, writes = [], []
            with self._inside:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    reads.append(self._sock)
                except ssl.SSLWantWriteError:
                    writes.append(self._sock)
            left = None if end is None else max(0.0, end - time.monotonic())
            if not any(select.select(reads, writes, [], left)):
                raise TimeoutError("timed out")

    def recv(self, count):
        return self._when_ready(lambda: self._sock.recv(count))

    def send(self, data):
        return self._when_ready(lambda: self._sock.send(data))

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self.send(view):]

    def unwrap(self):
        return self._when_ready(self._sock.unwrap)


class _ServerConnection:
    def __init__(self, upstream, sock, number):
        self.upstream, self.sock, self.number = upstream, sock, number
        self.buffer = bytearray()
        self.ends = False

    def close(self):
        self.ends = True

    def reset(self):
        """RST at once."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise _Closed

    def fill(self):
        try:
            data = self.sock.recv(262144)
        except TimeoutError:
            raise  # silence is no close (is_closed_by_peer)
        except OSError:
            data = b""
        if not data:
            raise _Closed
        self.buffer += data
        self.upstream.bytes_received += len(data)

    def is_closed_by_peer(self, seconds):
        """Does the gateway close this connection within that time? What it sends is kept in buffer."""
        try:
            end = time.monotonic() + seconds
            while True:
                self.sock.settimeout(max(0.001, end - time.monotonic()))
                self.fill()
        except _Closed:
            return True
        except TimeoutError:
            return False
        finally:
            try:
                self.sock.settimeout(None)
            except OSError:
                pass

    def read_head(self):
        """The head's bytes up to and with the empty line."""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        end = self.buffer.index(b"\r\n\r\n") + 4
        head = bytes(self.buffer[:end])
        del self.buffer[:end]
        return head

    def take(self, count):
        while len(self.buffer) < count:
            self.fill()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def take_line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        end = self.buffer.index(b"\r\n") + 2
        line = bytes(self.buffer[:end])
        del self.buffer[:end]
        return line

    def read_body(self, head):
        """(decoded body, raw bytes of it)"""
        names = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            names[name.strip().lower()] = value.strip()
        if b"transfer-encoding" in names:
            body, raw = bytearray(), bytearray()
            while True:
                line = self.take_line()
                raw += line
                size = int(line.split(b";")[0], 16)
                data = self.take(size)
                body += data
                raw += data
                if size == 0:
                    while True:
                        trailer = self.take_line()
                        raw += trailer
                        if trailer == b"\r\n":
                            return bytes(body), bytes(raw)
                raw += self.take(2)
        length = int(names.get(b"content-length", b"0"))
        body = self.take(length)
        return body, body


class Upstream:
    def __init__(self, port=0, host="127.0.0.1", unix_path=None, read_body=True, tls=None, answer=OK):
        self.requests = []
        self.connections = 0
        self.bytes_received = 0
        self.raw_connections = []  # sockets open now
        self.read_body = read_body  # False: handlers read from connection themselves
        self._answer = answer  # from the first request on, also of one that waits for this port
        self._paths = {}
        self._lock = threading.Lock()
        self._stopping = False
        self.host, self.unix_path, self.tls = host, unix_path, tls
        self.tls_failures = []  # handshakes that came to nothing
        if unix_path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(unix_path)
            self.port = None
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((host, port))
            self.port = self.listener.getsockname()[1]
        self.listener.listen(512)

    @property
    def url(self):
        if self.unix_path:
            return f"unix:{self.unix_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def model(self, ca_file=None, **fields):
        """A configuration with this as the upstream of every path."""
        fields = {"name": "app", "url": self.url, **({"tls": {"ca_file": ca_file}} if ca_file else {}), **fields}
        return {"upstreams": [fields], "routes": [{"path": "/", "upstream": "app"}]}

    def reach(self, ca_file=None, env=None):
        if self.tls:
            return {"env": env, "config": self.model(ca_file)}
        return {"env": {"UPSTREAM_URL": self.url, **(env or {})}}

    def answer(self, answer):
        self._answer = answer

    def on(self, path, answer):
        """Another answer for one path (exact, without query)."""
        self._paths[path.encode()] = answer

    def __enter__(self):
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopping = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop_connections()

    def drop_connections(self):
        """Closes every open connection from our side (stale pooled connections)."""
        with self._lock:
            open_now = list(self.raw_connections)
        for sock in open_now:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait_for_requests(self, count, seconds=10.0):
        wait_for(lambda: len(self.requests) >= count, seconds, f"{count} requests at the upstream")
        return self.requests

    def _accept(self):
        while not self._stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if not self.unix_path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                number = self.connections
                self.raw_connections.append(sock)
            threading.Thread(target=self._serve, args=(_ServerConnection(self, sock, number),),
                             daemon=True).start()

    def _encrypt(self, connection):
        plain = connection.sock
        try:
            connection.sock = _SharedTls(self.tls.wrap_socket(plain, server_side=True))
        except OSError as problem:
            self.tls_failures.append(problem)
            raise
        with self._lock:
            self.raw_connections[self.raw_connections.index(plain)] = connection.sock

    def _serve(self, connection):
        try:
            if self.tls:
                self._encrypt(connection)
            while not connection.ends:
                head = connection.read_head()
                body, raw_body = connection.read_body(head) if self.read_body else (b"", b"")
                request = Request(head, body, head + raw_body, connection.number)
                with self._lock:
                    self.requests.append(request)
                answer = self._paths.get(request.target.split(b"?")[0], self._answer)
                if callable(answer):
                    answer = answer(request, connection)
                if answer:
                    connection.sock.sendall(answer)
            if self.tls:
                connection.sock.settimeout(5)
                connection.sock.unwrap()  # says that this is the end
        except (_Closed, OSError):
            pass
        finally:
            with self._lock:
                if connection.sock in self.raw_connections:
                    self.raw_connections.remove(connection.sock)
            connection.sock.close()


def response(status=200, reason="OK", headers=(), body=b""):
    """Bytes of an ordinary answer with Content-Length."""
    lines = [f"HTTP/1.1 {status} {reason}".encode()]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def after(seconds, answer=OK):
    """A handler that answers later; the delay is the point of the test, not a wait for an event."""

    def handler(_request, connection):
        end = time.monotonic() + seconds
        if connection.is_closed_by_peer(max(0.0, end - time.monotonic())):
            raise _Closed
        return answer

    return handler
