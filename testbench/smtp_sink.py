"""A mail server that keeps what it gets: one .eml file a mail, one line of log as it comes.

It listens on an address of this machine that only the test hosts see. It refuses some recipients on
purpose, so that both kinds of failure can be tried: with the default patterns, mail to tempfail@… is refused
for now (451) and mail to permfail@… for good (550).
"""

from __future__ import annotations

import argparse
import asyncio
import email
import email.policy
import fnmatch
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

SIZE_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class Refusals:
    """Which recipients are refused: patterns of the part before the @."""

    temporary: tuple[str, ...] = ("tempfail*",)
    permanent: tuple[str, ...] = ("permfail*",)

    def answer(self, address: str) -> str | None:
        """Return the refusal for an address, or None when its mail is taken."""
        local = address.rpartition("@")[0].lower()
        if any(fnmatch.fnmatchcase(local, pattern) for pattern in self.permanent):
            return "550 5.1.1 No such mailbox here (refused on purpose)"
        if any(fnmatch.fnmatchcase(local, pattern) for pattern in self.temporary):
            return "451 4.3.0 Try again later (refused on purpose)"
        return None


class Sink:
    """Takes mail as aiosmtpd hands it over."""

    def __init__(self, folder: Path, refusals: Refusals) -> None:
        """Keep mails in the folder, which is made if needed."""
        self.folder = folder
        self.refusals = refusals
        self.count = 0
        folder.mkdir(parents=True, exist_ok=True)

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        """Answer a recipient: take it, or refuse it as told."""
        refusal = self.refusals.answer(address)
        if refusal:
            log(f"refused {address}: {refusal}")
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
    ) -> str:
        """Store a mail before it is acknowledged, so that what was acknowledged can be read."""
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        path = self.store(raw)
        subject = email.message_from_bytes(raw, policy=email.policy.default)["subject"]
        log(f"got {path.name} from {envelope.mail_from} to {', '.join(envelope.rcpt_tos)}: {subject}")
        return "250 Message accepted for delivery"

    def store(self, raw: bytes) -> Path:
        """Write a mail under a name that sorts by time; a reader never sees half of it."""
        self.count += 1
        path = self.folder / f"{time.time_ns()}-{self.count:06d}.eml"
        partial = path.with_suffix(".part")
        partial.write_bytes(raw)
        return partial.rename(path)


def log(line: str) -> None:
    """Print a line with the time, at once."""
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z {line}", flush=True)


async def serve(host: str, port: int, sink: Sink) -> None:
    """Listen until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: SMTP(
            sink,
            data_size_limit=SIZE_LIMIT,
            hostname="sink.invalid",
            ident="plainhost test sink",
            enable_SMTPUTF8=True,
        ),
        host,
        port,
    )
    log(f"listening at {host}:{server.sockets[0].getsockname()[1]}, mails go to {sink.folder}")
    await stop.wait()
    server.close()
    log(f"stopped after {sink.count} mail(s)")


def main(arguments: list[str] | None = None) -> None:
    """Run the sink in the foreground."""
    parser = argparse.ArgumentParser(
        prog="python -m testbench.smtp_sink",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=2525, help="port to listen at (default: 2525; 0: a free one)")
    parser.add_argument("--folder", type=Path, required=True, help="where the .eml files go")
    parser.add_argument(
        "--temporary",
        nargs="*",
        default=Refusals.temporary,
        metavar="PATTERN",
        help="local parts that get 451 (default: tempfail*)",
    )
    parser.add_argument(
        "--permanent",
        nargs="*",
        default=Refusals.permanent,
        metavar="PATTERN",
        help="local parts that get 550 (default: permfail*)",
    )
    options = parser.parse_args(arguments)
    sink = Sink(options.folder, Refusals(tuple(options.temporary), tuple(options.permanent)))
    asyncio.run(serve(options.host, options.port, sink))


if __name__ == "__main__":
    main()
