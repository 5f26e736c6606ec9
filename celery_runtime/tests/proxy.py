"""A network between a worker and Redis, of which one answer can be lost."""

from __future__ import annotations

import socket
import threading


class Proxy:
    """Passes bytes on between clients and a server on this host.

    Args:
        server: the server's port.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._marker = b""
        # How many answers were lost.
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, marker: bytes) -> None:
        """Let the next answer with these bytes, and all that follows it on its connection, never arrive; the connection stays."""
        self._marker = marker

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._server))
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            server.close()

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        silent = False
        try:
            while data := server.recv(65536):
                if self._marker and self._marker in data:
                    self._marker, silent = b"", True
                    self.lost += 1
                if not silent:
                    client.sendall(data)
            client.close()
        except OSError:
            client.close()
