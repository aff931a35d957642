"""An HTTP sink that honours Idempotency-Key, as a process of its own so that it can be killed:

    keyed_sink.py PORT FILE

The first request of a key takes effect: one line `key lane body` in FILE, on the disk before the
answer. Further ones of that key get the same answer and no effect, also after a restart.
"""

import os
import socket
import sys
import threading

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"


class Sink:
    def __init__(self, path):
        self.lock = threading.Lock()
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        text = os.pread(self.file, os.fstat(self.file).st_size, 0)
        whole = text.rpartition(b"\n")[0] + b"\n" if b"\n" in text else b""
        os.ftruncate(self.file, len(whole))  # half a line is no effect: nobody was answered
        self.seen = {line.split()[0] for line in whole.splitlines()}

    def take(self, key, lane, body):
        with self.lock:
            if key not in self.seen:
                os.write(self.file, b" ".join((key, lane, body)) + b"\n")
                self.seen.add(key)

    def serve(self, sock):
        try:
            self.serve_calls(sock)
        except OSError:
            pass  # the caller was killed

    def serve_calls(self, sock):
        data = b""
        with sock:
            while True:
                while b"\r\n\r\n" not in data:
                    piece = sock.recv(65536)
                    if not piece:
                        return
                    data += piece
                head, _, data = data.partition(b"\r\n\r\n")
                fields = {}
                for line in head.split(b"\r\n")[1:]:
                    name, _, value = line.partition(b":")
                    fields[name.lower()] = value.strip()
                length = int(fields.get(b"content-length", b"0"))
                while len(data) < length:
                    piece = sock.recv(65536)
                    if not piece:
                        return
                    data += piece
                body, data = data[:length], data[length:]
                self.take(fields[b"idempotency-key"].strip(b'"'), fields[b"x-lane"], body)
                sock.sendall(ANSWER)


def main():
    sink = Sink(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=sink.serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
