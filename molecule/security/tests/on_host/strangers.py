"""Runs on a host: what broker and database answer to somebody who speaks plain text, or an old TLS. Prints JSON."""

import json
import socket
import ssl
import struct
import sys

VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def startup():
    """Return what a client of PostgreSQL that doesn't ask for TLS sends first."""
    body = struct.pack("!i", 196608) + b"user\0sample\0database\0sample\0\0"
    return struct.pack("!i", len(body) + 4) + body


def plain(address, port, first):
    """Return what is answered to plain text."""
    with socket.create_connection((address, port), timeout=5) as link:
        link.sendall(first)
        try:
            return link.recv(500).decode(errors="replace")
        except ConnectionResetError:
            return ""


def handshake(address, port, version, request=b""):
    """Return the version that was agreed on, or how the server refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # This client would speak any of them: whoever refuses is the server.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection((address, port), timeout=5) as link:
        if request:
            link.sendall(request)
            link.recv(1)
        try:
            with context.wrap_socket(link) as secured:
                return secured.version()
        except ssl.SSLError as error:
            return error.reason


def main():
    """Ask both servers."""
    address = sys.argv[1]
    print(
        json.dumps(
            {
                "redis": {
                    "plain": plain(address, 6379, b"PING\r\n"),
                    **{name: handshake(address, 6379, version) for name, version in VERSIONS.items()},
                },
                "postgresql": {
                    "plain": plain(address, 5432, startup()),
                    **{name: handshake(address, 5432, version, SSL_REQUEST) for name, version in VERSIONS.items()},
                },
            }
        )
    )


main()
