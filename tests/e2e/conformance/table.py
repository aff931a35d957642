"""The table: raw HTTP/1.1 requests, byte by byte, and what must become of each.

PASSES: valid, some of it odd; the upstream must see `target`, `body` and the headers in `carries`,
and none of `lacks`. REFUSED: an attack or a mistake; one of `statuses` comes back (or, where
`silent`, the connection closes without an answer: libmicrohttpd's own refusals), the connection
closes where the framing cannot be trusted (`closes`), and nothing ever reaches the upstream.
Rules by RFC: 9112 (messages), 9110 (semantics), 3986 (targets).
"""

from dataclasses import dataclass, field


@dataclass
class Passes:
    name: str
    data: bytes
    target: bytes = None  # default: the target as written
    method: bytes = None
    body: bytes = b""
    carries: list = field(default_factory=list)
    lacks: list = field(default_factory=list)
    answers: int = 1

    def __post_init__(self):
        first = self.data.lstrip(b"\r\n").split(b"\r\n", 1)[0].split(b"\n", 1)[0].split(b" ")
        self.method = self.method or first[0]
        self.target = self.target or first[1]


@dataclass
class Refused:
    name: str
    data: bytes
    statuses: tuple = (400,)
    closes: bool = False
    silent: bool = False


def get(target, *lines):
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: a.example", *lines]) + b"\r\n\r\n"


def post(target, *lines, body=b""):
    return b"\r\n".join([b"POST " + target + b" HTTP/1.1", b"Host: a.example", *lines]) + b"\r\n\r\n" + body


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"

PASSES = [
    # ---- request line and target
    Passes("plain", get(b"/p/plain")),
    Passes("root", get(b"/")),
    Passes("empty lines before the request line", b"\r\n\r\n" + get(b"/p/crlf-first"), target=b"/p/crlf-first"),
    Passes("query is passed as it came", get(b"/p/q?a=%2Fb&c=d%20e&&=;?/x")),
    Passes("empty query", get(b"/p/q?"), target=b"/p/q?"),
    Passes("unreserved and sub-delims", get(b"/p/-._~!$&'()*+,;=:@")),
    Passes("percent-encoded space stays", get(b"/p/a%20b")),
    Passes("encoded unreserved is decoded once", get(b"/p/%61%7e"), target=b"/p/a~"),
    Passes("escape digits become upper case", get(b"/p/%c3%a9"), target=b"/p/%C3%A9"),
    Passes("a doubled escape is not decoded twice", get(b"/p/%252e%252e/x")),
    Passes("doubled slash is one", get(b"/p//twice"), target=b"/p/twice"),
    Passes("single dot segment is dropped", get(b"/p/./dot"), target=b"/p/dot"),
    Passes("three dots are a name", get(b"/p/.../x")),
    Passes("dots within a name", get(b"/p/a..b/..c/d..")),
    Passes("target of 6 KiB", get(b"/p/" + b"x" * 6000)),
    Passes("absolute-form of the same host", b"GET http://a.example/p/absolute HTTP/1.1\r\nHost: a.example\r\n\r\n",
           target=b"/p/absolute"),
    # ---- methods
    Passes("PUT", b"PUT /p/m HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", body=b"ab"),
    Passes("DELETE without a body", b"DELETE /p/m HTTP/1.1\r\nHost: a\r\n\r\n"),
    Passes("DELETE with a body", b"DELETE /p/m HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", body=b"x"),
    Passes("PATCH", b"PATCH /p/m HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", body=b"x"),
    Passes("OPTIONS", b"OPTIONS /p/m HTTP/1.1\r\nHost: a\r\n\r\n"),
    Passes("an extension method", b"PROPFIND /p/m HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
    Passes("a method is case-sensitive", b"get /p/m HTTP/1.1\r\nHost: a\r\n\r\n", method=b"get"),
    # ---- headers
    Passes("no blank after the colon", get(b"/p/h", b"X-A:1"), carries=[("X-A", "1")]),
    Passes("blanks around the value are not part of it", get(b"/p/h", b"X-A: \t 1 \t "), carries=[("X-A", "1")]),
    Passes("empty value", get(b"/p/h", b"X-Empty:"), carries=[("X-Empty", "")]),
    Passes("every token character in a name", get(b"/p/h", b"!#$%&'*+-.^_`|~09aZ: v"),
           carries=[("!#$%&'*+-.^_`|~09aZ", "v")]),
    Passes("obs-text in a value", get(b"/p/h", b"X-A: caf\xe9"), carries=[("X-A", "caf\xe9")]),
    Passes("a name of any case", get(b"/p/h", b"x-WeIrD: 1"), carries=[("x-weird", "1")]),
    Passes("repeated headers keep their order", get(b"/p/h", b"X-A: 1", b"X-B: 2", b"X-A: 3"),
           carries=[("X-A", "1"), ("X-A", "3")]),
    Passes("a colon in the value", get(b"/p/h", b"X-A: http://b:80/c"), carries=[("X-A", "http://b:80/c")]),
    Passes("a header of 8 KiB", get(b"/p/h", b"X-Big: " + b"b" * 8000), carries=[("X-Big", "b" * 8000)]),
    Passes("sixty headers", get(b"/p/h", *[b"X-%d: v" % i for i in range(60)]), carries=[("X-59", "v")]),
    Passes("Host with a port", b"GET /p/h HTTP/1.1\r\nHost: a.example:8080\r\n\r\n"),
    Passes("Host as an IPv6 literal", b"GET /p/h HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
    Passes("empty Host", b"GET /p/h HTTP/1.1\r\nHost:\r\n\r\n"),
    Passes("cookies stay as they are", get(b"/p/h", b'Cookie: a="b c"; d=e,f'), carries=[("Cookie", 'a="b c"; d=e,f')]),
    Passes("hop-by-hop headers end here",
           get(b"/p/h", b"Connection: keep-alive, X-Private", b"X-Private: 1", b"Keep-Alive: timeout=5",
               b"Proxy-Connection: keep-alive", b"TE: trailers", b"Upgrade: h2c", b"X-Kept: 1"),
           carries=[("X-Kept", "1")], lacks=["X-Private", "Keep-Alive", "Proxy-Connection", "Upgrade"]),
    Passes("Connection cannot name what the end needs",
           get(b"/p/h", b"Connection: Host, X-Forwarded-For", b"X-Kept: 1"), carries=[("X-Kept", "1")]),
    Passes("a name that CGI would read as another is dropped",
           get(b"/p/h", b"X_Forwarded_For: 6.6.6.6", b"Content_Length: 5", b"Transfer_Encoding: chunked",
               b"X_Real_IP: 6.6.6.6", b"X.Forwarded.Proto: https", b"X_Request_Id: 6", b"x_kept: 1"),
           carries=[("x_kept", "1")], lacks=["X_Forwarded_For", "Content_Length", "Transfer_Encoding", "X_Real_IP",
                                             "X.Forwarded.Proto", "X_Request_Id"]),
    Passes("claims of a peer that may make none are dropped", get(b"/p/h", b"X-API-Tier: enterprise", b"X-Region: asia"),
           lacks=["X-API-Tier", "X-Region"]),
    Passes("traceparent passes",
           get(b"/p/h", b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
           carries=[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]),
    # ---- bodies
    Passes("Content-Length 0", post(b"/p/b", b"Content-Length: 0")),
    Passes("Content-Length with leading zeros", post(b"/p/b", b"Content-Length: 0003", body=b"abc"), body=b"abc"),
    Passes("a body with every byte", post(b"/p/b", b"Content-Length: 256", body=bytes(range(256))),
           body=bytes(range(256))),
    Passes("GET with a body", get(b"/p/b", b"Content-Length: 3") + b"abc", body=b"abc"),
    Passes("chunked", post(b"/p/b", CHUNKED, body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), body=b"abcde"),
    Passes("chunked, empty", post(b"/p/b", CHUNKED, body=b"0\r\n\r\n")),
    Passes("chunked in any case", post(b"/p/b", b"tRANSFER-eNCODING: Chunked", body=b"1\r\na\r\n0\r\n\r\n"), body=b"a"),
    Passes("chunk sizes in hex of both cases, with zeros",
           post(b"/p/b", CHUNKED, body=b"0A\r\n0123456789\r\n00b\r\n0123456789x\r\n0\r\n\r\n"),
           body=b"01234567890123456789x"),
    Passes("chunk extensions are dropped", post(b"/p/b", CHUNKED, body=b'3;a=1;b="2"\r\nabc\r\n0;last\r\n\r\n'), body=b"abc"),
    Passes("bare LF in the lines of a chunked body: the upstream gets chunks of our own",
           post(b"/p/b", CHUNKED, body=b"3;a\nabc\n0\nX-T: evil\n\n"), body=b"abc", lacks=["X-T"]),
    Passes("trailers are dropped", post(b"/p/b", CHUNKED, b"Trailer: X-T", body=b"3\r\nabc\r\n0\r\nX-T: evil\r\n\r\n"),
           body=b"abc", lacks=["X-T"]),
    Passes("a chunk that looks like a request", post(b"/p/b", CHUNKED, body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
           body=SMUGGLED),
    Passes("a body that looks like a request", post(b"/p/b", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED), body=SMUGGLED),
    # ---- version 1.0
    Passes("HTTP/1.0", b"GET /p/ten HTTP/1.0\r\nHost: a\r\n\r\n"),
    Passes("HTTP/1.0 without Host", b"GET /p/ten HTTP/1.0\r\n\r\n"),
    Passes("HTTP/1.0 with a body", b"POST /p/ten HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", body=b"ab"),
]

REFUSED = [
    # ---- framing: two readings of where the body ends
    Refused("CL.TE", post(b"/x", b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG" + SMUGGLED), closes=True),
    Refused("TE.CL", post(b"/x", CHUNKED, b"Content-Length: 4", body=b"2d\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"), closes=True),
    Refused("two equal lengths", post(b"/x", b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), closes=True),
    Refused("two different lengths", post(b"/x", b"Content-Length: 0", b"Content-Length: 45", body=SMUGGLED), closes=True),
    Refused("a list of lengths", post(b"/x", b"Content-Length: 3, 3", body=b"abc"), closes=True, silent=True),
    Refused("length with a sign", post(b"/x", b"Content-Length: +3", body=b"abc"), closes=True, silent=True),
    Refused("negative length", post(b"/x", b"Content-Length: -1"), closes=True, silent=True),
    Refused("length in hex", post(b"/x", b"Content-Length: 0x3", body=b"abc"), closes=True, silent=True),
    Refused("length with a letter", post(b"/x", b"Content-Length: 3a", body=b"abc"), closes=True, silent=True),
    Refused("empty length", post(b"/x", b"Content-Length:", body=b""), closes=True, silent=True),
    Refused("a length beyond 64 bits", post(b"/x", b"Content-Length: 99999999999999999999"), (400, 413), closes=True, silent=True),
    Refused("TE: xchunked", post(b"/x", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + SMUGGLED), (400, 501), closes=True),
    Refused("TE: chunked, identity", post(b"/x", b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), (400, 501), closes=True),
    Refused("TE: identity", post(b"/x", b"Transfer-Encoding: identity", b"Content-Length: 3", body=b"abc"), (400, 501), closes=True),
    Refused("TE: gzip, chunked", post(b"/x", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), (400, 501), closes=True),
    Refused("TE: chunked twice in a list", post(b"/x", b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), (400, 501), closes=True),
    Refused("two TE headers", post(b"/x", CHUNKED, CHUNKED, body=b"0\r\n\r\n"), closes=True),
    Refused("TE with a trailing comma", post(b"/x", b"Transfer-Encoding: chunked,", body=b"0\r\n\r\n"), (400, 501), closes=True),
    Refused("TE quoted", post(b"/x", b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), (400, 501), closes=True),
    Refused("TE with a vertical tab", post(b"/x", b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), (400, 501), closes=True),
    Refused("TE name with a blank", post(b"/x", b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), closes=True),
    Refused("TE in HTTP/1.0", b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, closes=True),
    Refused("chunk size zz", post(b"/x", CHUNKED, body=b"zz\r\nabc\r\n0\r\n\r\n"), closes=True, silent=True),
    Refused("chunk size 0x2", post(b"/x", CHUNKED, body=b"0x2\r\nab\r\n0\r\n\r\n"), closes=True, silent=True),
    Refused("chunk size negative", post(b"/x", CHUNKED, body=b"-1\r\nab\r\n0\r\n\r\n"), closes=True, silent=True),
    Refused("chunk size with a blank", post(b"/x", CHUNKED, body=b"3 \r\nabc\r\n0\r\n\r\n"), closes=True, silent=True),
    Refused("chunk data without an end", post(b"/x", CHUNKED, body=b"3\r\nabcXX0\r\n\r\n"), closes=True, silent=True),
    Refused("chunk without a size", post(b"/x", CHUNKED, body=b";a\r\n\r\n"), closes=True, silent=True),
    Refused("chunk size beyond 64 bits", post(b"/x", CHUNKED, body=b"fffffffffffffffff\r\nab\r\n0\r\n\r\n"), (400, 413), closes=True, silent=True),
    # ---- names and values
    Refused("two hosts", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    Refused("two equal hosts", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    Refused("no Host", b"GET /x HTTP/1.1\r\n\r\n", silent=True),
    Refused("Host with user information", b"GET /x HTTP/1.1\r\nHost: user@a\r\n\r\n"),
    Refused("Host with a path", b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    Refused("Host list", b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    Refused("Host with a bad port", b"GET /x HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
    Refused("blank before the colon", get(b"/x", b"X-A : 1")),
    Refused("name with a slash", get(b"/x", b"X/A: 1")),
    Refused("name with obs-text", get(b"/x", b"X-\xe9: 1")),
    Refused("empty name", get(b"/x", b": 1"), silent=True),
    Refused("empty name that ends the header for some", get(b"/x", b":", b"GET /smuggled HTTP/1.1", b"Host: a"), closes=True, silent=True),
    Refused("obs-fold", get(b"/x", b"X-Fold: a\r\n b")),
    Refused("obs-fold by a tab", get(b"/x", b"X-Fold: a\r\n\tb")),
    Refused("obs-fold that would make a name", post(b"/x", b"Content-Lengt: 5\r\n h", body=b"abcde"), closes=True),
    Refused("bare LF in the header", b"GET /x HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n"),
    Refused("bare LF everywhere", b"GET /x HTTP/1.1\nHost: a\n\n"),
    Refused("NUL in a value", get(b"/x", b"X-A: a\0b"), silent=True),
    Refused("line without a colon", get(b"/x", b"nonsense"), silent=True),
    Refused("NUL in a name", get(b"/x", b"X-\0A: b"), silent=True),
    Refused("bare CR in a value", get(b"/x", b"X-A: a\rX-Evil: 1"), closes=True, silent=True),
    Refused("control byte in a value", get(b"/x", b"X-A: a\x01b")),
    Refused("DEL in a value", get(b"/x", b"X-A: a\x7fb")),
    Refused("first header line begins with a blank", b"GET /x HTTP/1.1\r\n X-A: 1\r\nHost: a\r\n\r\n", silent=True),
    # ---- request line
    Refused("method that is no token", b"G@T /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("TRACE", b"TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", (405, 501)),
    Refused("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", (400, 405, 501)),
    Refused("HTTP/2.0", b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n", (400, 505), silent=True),
    Refused("version in small letters", b"GET /x http/1.1\r\nHost: a\r\n\r\n", (400, 505), silent=True),
    Refused("no version (HTTP/0.9)", b"GET /x\r\nHost: a\r\n\r\n", (400, 505), silent=True),
    Refused("two blanks in the request line", b"GET /x  HTTP/1.1\r\nHost: a\r\n\r\n", (400, 505), silent=True),
    Refused("a blank within the target", b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", (400, 505), silent=True),
    Refused("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505), silent=True),
    # ---- targets
    Refused("dot-dot segment", get(b"/p/../x")),
    Refused("dot-dot at the end", get(b"/p/..")),
    Refused("encoded dot-dot", get(b"/p/%2e%2e/x")),
    Refused("half-encoded dot-dot", get(b"/p/.%2E/x")),
    Refused("dot-dot with a path parameter", get(b"/p/..;a=b/x")),
    Refused("encoded slash", get(b"/p%2fx")),
    Refused("encoded slash, upper case", get(b"/p%2Fx")),
    Refused("encoded backslash", get(b"/p%5cx")),
    Refused("backslash", get(b"/p\\x")),
    Refused("encoded NUL", get(b"/p%00x")),
    Refused("encoded CR LF", get(b"/p%0d%0aX-Evil:%201")),
    Refused("half an escape", get(b"/p%4")),
    Refused("escape of no digits", get(b"/p%zz")),
    Refused("fragment", get(b"/p#x")),
    Refused("absolute-form of another host", b"GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    Refused("absolute-form with user information", b"GET http://u@a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    Refused("absolute-form of another scheme", b"GET ftp://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    Refused("no leading slash", b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("asterisk with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("authority-form with GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    # ---- expectations and sizes
    Refused("an unknown expectation", post(b"/x", b"Expect: tea", b"Content-Length: 3", body=b"abc"), (417,)),
    Refused("a header beyond every bound", get(b"/x", b"X-Big: " + b"b" * 200000), (400, 413, 431), closes=True, silent=True),
    Refused("a target beyond every bound", get(b"/" + b"x" * 200000), (400, 413, 414, 431), closes=True, silent=True),
    Refused("ten thousand headers", get(b"/x", *[b"X-%d: v" % i for i in range(10000)]), (400, 413, 431), closes=True, silent=True),
]
