"""Answers each request with a greeting, on the socket that systemd hands over as descriptor 3 (sd_listen_fds(3))."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hello(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Greet, and say under which name the service was met."""
        text = f"hello from {self.headers['Host']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self) -> str:
        """Say whom the log names: a unix socket has no address."""
        return "-"


class Server(HTTPServer):
    """In the sandbox of a unit without `egress` there are no other sockets."""

    address_family = socket.AF_UNIX


def main() -> None:
    """Serve for as long as the unit runs."""
    server = Server("", Hello, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=3)
    server.serve_forever()


main()
