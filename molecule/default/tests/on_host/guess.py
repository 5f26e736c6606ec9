"""Ask this host's own front as several clients would, whatever the spelling of the path.

The argument is JSON: name, method, paths and how often to ask each (count), login (right, wrong, none, or in turn), http (1 or 2), and sources
(addresses of this host to ask from, in turn). Prints how often which status came, and how many seconds it took.
"""

import base64
import collections
import itertools
import json
import re
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

asked = json.loads(sys.argv[1])
LOGINS = {
    "right": re.search(r'basic_auth = \["([^"]+)"\]', Path("/etc/sample/flower.conf").read_text())[1],
    "wrong": "flower:no-such-password",
}
# The right one doesn't leave the host, nor does it stand among a command's arguments.
login = LOGINS.get(asked["login"])
asked["headers"] = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
# nginx's own words for a status in the table of RFC 7541, appendix A; others come as three digits.
TABLE = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# Streams at once on one connection: nginx takes 128.
STREAMS = 100


def connect(source: str, protocol: str) -> ssl.SSLSocket:
    """Return a connection to the front from one of this host's addresses."""
    context = ssl.create_default_context(cafile="/etc/sample/tls/ca.pem")
    context.set_alpn_protocols([protocol])
    target = source if ":" in source else "127.0.0.1"
    link = socket.create_connection((target, 443), 60, (source, 0))
    return context.wrap_socket(link, server_hostname="localhost")


def head(path: str, number: int) -> bytes:
    """Return a request of HTTP/1.1 with the path as it is."""
    if asked["login"] == "in turn":
        login = LOGINS["right" if number % 2 else "wrong"]
        asked["headers"] = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    lines = [f"{asked['method']} {path} HTTP/1.1", f"Host: {asked['name']}", "Content-Length: 0"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in asked["headers"].items()), "", ""]).encode()


def one_by_one(source: str, paths: list[str]) -> list[int]:
    """Ask on one connection, and on another when it is closed."""
    statuses, link, stream = [], None, None
    for number, path in enumerate(paths):
        if link is None:
            link = connect(source, "http/1.1")
            stream = link.makefile("rb")
        link.sendall(head(path, number))
        statuses.append(int(stream.readline().split()[1]))
        fields = {}
        while (line := stream.readline().strip().lower()) != b"":
            name, _, value = line.partition(b":")
            fields[name] = value.strip()
        if fields.get(b"transfer-encoding") == b"chunked":
            while (size := int(stream.readline(), 16)) > 0:
                stream.read(size + 2)
            stream.readline()
        else:
            stream.read(int(fields.get(b"content-length", 0)))
        if fields.get(b"connection") == b"close":
            link.close()
            link = None
    return statuses


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    """Return a frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def field(name: str, value: str) -> bytes:
    """Return a header field as two plain texts (RFC 7541, section 6.2.2)."""
    packed = b"\x00"
    for text in (name.encode(), value.encode()):
        size = len(text)
        packed += bytes([size]) if size < 127 else bytes([127, (size - 127) & 127 | 128, (size - 127) >> 7])
        packed += text
    return packed


def status_of(block: bytes) -> int:
    """Return the status that a block of headers begins with."""
    # Behind changes of the table's size.
    while block[0] & 0xE0 == 0x20:
        block = block[1:]
    return TABLE[block[0]] if block[0] in TABLE else int(block[2:5])


def all_at_once(source: str, paths: list[str]) -> list[int]:
    """Ask on many streams of one connection at the same time."""
    statuses = []
    for begin in range(0, len(paths), STREAMS):
        part = paths[begin : begin + STREAMS]
        link = connect(source, "h2")
        sent = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            frame(SETTINGS, 0, 0),
            frame(WINDOW, 0, 0, struct.pack(">I", 2**30)),
        ]
        for number, path in enumerate(part):
            pseudo = {":method": asked["method"], ":path": path, ":scheme": "https", ":authority": asked["name"]}
            headers = pseudo | {name.lower(): value for name, value in asked["headers"].items()}
            block = b"".join(field(name, value) for name, value in headers.items())
            sent.append(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, block))
        link.sendall(b"".join(sent))
        stream, left = link.makefile("rb"), len(part)
        while left:
            start = stream.read(9)
            content = stream.read(int.from_bytes(start[:3], "big"))
            kind, flags = start[3], start[4]
            if kind == GOAWAY:
                raise SystemExit(f"the front ended the connection: {content!r}")
            if kind == SETTINGS and not flags & ACK:
                link.sendall(frame(SETTINGS, ACK, 0))
            if kind == HEADERS:
                statuses.append(status_of(content))
            left -= kind == RST or (kind in (DATA, HEADERS) and bool(flags & END_STREAM))
        link.close()
    return statuses


paths = [path for path in asked["paths"] for _ in range(asked["count"])]
shares = collections.defaultdict(list)
for source, path in zip(itertools.cycle(asked["sources"]), paths):
    shares[source].append(path)
began = time.monotonic()
seen = collections.Counter()
for source, share in shares.items():
    seen.update((all_at_once if asked["http"] == 2 else one_by_one)(source, share))
print(json.dumps({"seen": seen, "seconds": time.monotonic() - began}))
