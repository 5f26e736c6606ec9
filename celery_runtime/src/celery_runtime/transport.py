"""The part `transport`: kombu's Redis transport with a fetch that loses nothing.

kombu takes a message with BRPOP and records it as unacknowledged with a second command. A worker that is killed in between
loses the message, and so does a Redis that is full: it gives the message out and refuses the record. Here one script does
both. It can't block, so the wait for the next message is a matter of its own: see `Channel`, and docs/adr/0011.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from time import monotonic, time
from typing import Any, ClassVar

from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.encoding import bytes_to_str
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from . import decompression, log_text, retries, single_worker, stock, waiting
from .basic_get import DirectGet, decoded
from .blame import Loss
from .configuration import Runtime, load
from .connections import KEEPALIVE, BrokerConnection
from .entries import shown, text
from .envelope import check_outside, describe
from .fetching import Fetcher, State
from .ledger import DeadLetter, Ledger
from .message_text import as_text
from .qos import Message, QoS, log_overtaken
from .rights import advising
from .settling import Settlements

logger = logging.getLogger(__name__)


def is_celery_command() -> bool:
    """Tell whether this process is `celery …`: nobody waits for an answer of it as for that of a web request."""
    return "celery" in Path(sys.argv[0]).parts[-2:]


def log_dead_letter(letter: DeadLetter) -> None:
    """Say of a dead letter that it is one, where no worker says more."""
    reason = letter.story[-1]["reason"]
    logger.error("a message of the queue %s was moved to the dead letters as %s: %s", letter.list, letter.id, reason)


class Channel(DirectGet, stock.Channel):
    """Fetches with a script and waits for Redis to say that a queue has changed: see `fetching`.

    `_in_poll` is kombu's mark for a connection that it must not send anything on: from a fetch until the next one.
    """

    QoS, Message = QoS, Message
    # What to do about a dead letter; a worker tells its result backend, too.
    on_dead_letter: ClassVar[Callable[[DeadLetter], None]] = staticmethod(log_dead_letter)
    # The worker's node name, once it is known (see `redelivery`); without one nothing is taken over.
    node = ""
    # The tag of the message that was fetched and isn't counted yet.
    fetched: str | None = None
    # Where the worker's consumer is now: a task may end on a connection that is gone.
    current: ClassVar[Channel | None] = None
    # What the broker may not know yet of messages that this process had.
    settlements: ClassVar[Settlements] = Settlements()
    # Messages whose child was lost, until the broker knows: see `lost_children`.
    lost: ClassVar[dict[str, Loss]] = {}

    # When the messages that this process holds were fetched, by tag: see `ledger`.
    fetches: ClassVar[dict[str, float]] = {}

    _fetched_at = 0.0
    _queue_of: dict[str, str] | None = None
    _ledger: Ledger | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._fetcher = Fetcher(self._answered, self.settlements.doubt)
        super().__init__(*args, **kwargs)

    @property
    def _in_poll(self) -> Any:
        """The connection that is in use, or None: a mark of kombu's."""
        return None if self._fetcher.state is State.IDLE else self.client.connection

    @_in_poll.setter
    def _in_poll(self, _: Any) -> None:
        """Take the mark away, as kombu does where the connection is lost, and sets it nowhere else."""
        self._fetcher.reset()

    @property
    def ledger(self) -> Ledger:
        """The record, through this channel's pool."""
        if self._ledger is None or self._ledger.client.connection_pool is not self.pool:
            runtime = load().runtime
            self._ledger = Ledger(
                Redis(connection_pool=self.pool),
                self.global_keyprefix,
                runtime.delivery_limit,
                runtime.message_max_bytes,
                Channel.fetches,
            )
        return self._ledger

    def known(self) -> set[str]:
        """Return the tags of the messages that this process has, on any channel of this one's connection."""
        delivered = {tag for channel in self.connection.channels for tag in list(channel.qos._delivered)}
        return delivered | set(self.settlements)

    def pending(self) -> set[float]:
        """Return the times of the fetches whose answers are due."""
        channels = self.connection.channels
        return {channel._fetched_at for channel in channels if channel._fetcher.state is State.FETCHING}

    def alive(self) -> Channel:
        """Return this channel, or the worker's present one when this is closed.

        Raises:
            ConnectionError: the worker has none at the moment.
        """
        # Not `closed`: a channel that is being closed still has its connection, to put back what was delivered.
        if self.connection is not None:
            return self
        if Channel.current is None or Channel.current.connection is None:
            raise ConnectionError("no connection to the broker")
        return Channel.current

    def _put_fanout(self, *arguments: Any, **options: Any) -> None:
        """Send to everybody who listens, such as a question to the workers."""
        advising(super()._put_fanout)(*arguments, **options)

    def _put(self, *arguments: Any, **options: Any) -> None:
        """Put a message into a queue."""
        advising(super()._put)(*arguments, **options)

    @advising
    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Bind a queue, also in a Redis that is full: a worker that can't start would leave it so."""
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except OutOfMemoryError:
            member = self.sep.join([routing_key or "", pattern or "", queue or ""])
            self.ledger.bind(self.keyprefix_queue % exchange, member)

    def get_table(self, exchange: str) -> list[tuple[str, ...]]:
        """Return an exchange's bindings, without what is none: whoever sends tasks may write there, and nobody could send any more."""
        return [binding for binding in super().get_table(exchange) if len(binding) == len(("key", "pattern", "queue"))]

    @advising
    def _size(self, queue: str) -> int:
        """Count a queue's messages without the transaction that a full Redis refuses: a queue is counted when it is declared."""
        lists = [f"{self.global_keyprefix}{self._q_for_pri(queue, priority)}" for priority in self.priority_steps]
        try:
            return self.ledger.count(lists)
        except self.ResponseError as error:
            if "WRONGTYPE" not in str(error) or not self.ledger.set_aside(lists):
                raise
            return self.ledger.count(lists)

    def lists_of(self, queue: str) -> list[str]:
        """Return the names of a queue's lists, one for each priority."""
        return [self._q_for_pri(queue, step) for step in self.priority_steps]

    def _purge(self, queue: str) -> int:
        """Empty a queue, with its suspects and what waits for its time; return how many messages those were."""
        lists = self.lists_of(queue)
        purged = waiting.purge(self.ledger, lists, queue)
        # No transaction: a full Redis refuses those, whatever they do.
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for name in lists:
                pipe.llen(name)
                pipe.delete(name)
            return purged + sum(pipe.execute()[::2])

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        self.qos.restore_by_tag(message.delivery_tag, leftmost=leftmost)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        tcp = "path" not in parameters
        if tcp:
            parameters |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
        parameters["connection_class"] = type("Connection", (BrokerConnection, parameters["connection_class"]), {})
        if asynchronous:
            parameters["protocol"] = 3
        if not is_celery_command():
            for name in ("socket_timeout", "socket_connect_timeout") if tcp else ("socket_timeout",):
                parameters[name] = min(parameters.get(name) or float("inf"), load().runtime.publish_timeout)
        return parameters

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002 (kombu's signature)
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._queue_of = {self.ledger.suspects_of(queue): queue for queue in queues}
        lists = {
            f"{self.global_keyprefix}{self._q_for_pri(queue, priority)}": queue
            for priority in self.priority_steps
            for queue in queues
        }
        keys, arguments = self.ledger.fetch_arguments(self.node, queues, lists)
        self._fetched_at = arguments[1]
        self._queue_of |= lists
        self._brpop_sent_at = monotonic()
        done = {tag: self.ledger.settlement(tag) for tag in self.settlements.send()}
        try:
            self._fetcher.fetch(self.client.connection, keys, arguments, len(keys) - len(self._queue_of), done)
        except BaseException:
            self._fetcher.reset()
            self.settlements.doubt(done)
            raise

    def _brpop_read(self, **_: Any) -> bool:
        connection = self.client.connection
        try:
            message = self._fetcher.read(connection)
        except self.connection_errors:
            connection.disconnect()
            raise
        except self.ResponseError as error:
            if "WRONGTYPE" in str(error) and self.ledger.set_aside(self._queue_of):
                raise Empty() from None
            raise
        if not self._fetcher.owed:
            # Else an answer could be taken for overdue while none is due.
            self._brpop_sent_at = None
        if message is None:
            raise Empty()
        self._pass_on(*message)
        return True

    def _pass_on(self, name: bytes, raw: bytes, tag: bytes | str, reason: bytes | None = None) -> None:
        queue = self._queue_of[bytes_to_str(name)]
        self._queue_cycle.rotate(queue)
        if reason is not None:
            self.tell_of_dead_letter(name, raw, tag, reason)
            return
        self.fetched = tag = text(tag)
        self.ledger.fetches[tag] = self._fetched_at
        if queue not in self.connection._callbacks:
            # Its consumer was cancelled while the fetch was under way. kombu would record it anew, on whichever channel is the first.
            self.fetched = None
            self.qos.restore_by_tag(tag, own=True)
            return
        try:
            self.connection._deliver(decoded(raw, tag), queue)
        except self.connection_errors:
            raise
        except Exception as error:
            if self.fetched != tag:
                # It was counted: what went wrong is no matter of its form.
                raise
            self.fetched = None
            self.refuse(tag, raw, error)
            return
        if self.fetched == tag:
            # A consumer that acknowledges nothing (no_ack) is not going to.
            self.fetched = None
            self.ledger.settle(tag)

    def _answered(self, tag: str, answer: int) -> None:
        """Take note of what Redis says of a settlement that travelled: see the script `fetch`."""
        self.settlements.answered(tag)
        if answer < 0:
            # Alone it is sent with more care: a key of the wrong type is set aside, and a script that Redis forgot is loaded.
            self.settlements.refused.append(tag)
            return
        self.ledger.fetches.pop(tag, None)
        if not answer:
            log_overtaken(tag)

    def settle_due(self, at_once: bool = False) -> None:
        """Send alone what can't travel: no fetch comes before something else does.

        Args:
            at_once: whether not to wait for the answer to a fetch either, after which the next one comes.
        """
        settlements = self.settlements
        fetching = self._fetcher.state is State.FETCHING and self.qos.can_consume()
        if not settlements.refused and (not settlements.due or (fetching and not at_once)):
            return
        for tag in settlements.take():
            if settlements.unsettled:
                settlements.doubt([tag])
                continue
            try:
                self.qos.settle_alone(tag, again=True)
            except ResponseError:
                # It stays in the record, where `survey` finds it.
                logger.exception("Redis refuses to settle the message %s", shown(tag))

    def tell_of_dead_letter(self, name: bytes, ends: bytes, letter: bytes, reason: bytes) -> None:
        """Say of a message that the script has set aside that it is a dead letter, of which both ends and the id came."""
        story = [{"at": time(), "node": self.node, "reason": bytes_to_str(reason)}]
        Channel.on_dead_letter(DeadLetter(bytes_to_str(letter), bytes_to_str(name), as_text(ends), story))

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)
        except RecursionError:
            logger.warning("a message to all was nested too deeply, and is ignored")
        except Empty:
            logger.debug("a message to all was ignored")
        # Raised, it would leave what came with it in the client's buffer, where the event loop doesn't see it.
        return False

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        """Deliver a message to all, such as a remote control command, unless it isn't one."""
        try:
            check_outside(message)
            delivered: bool = super()._deliver_fanout_message(message, exchange)
        except self.connection_errors:
            raise
        except Exception as error:
            logger.warning("a message to all of %r can't be used, and is ignored: %s", exchange, describe(error))
            raise Empty() from None
        return delivered

    def look_again(self) -> None:
        """Let a waiting connection ask anew at the next turn of the event loop."""
        self._fetcher.look_again()

    def discard_pushes(self) -> None:
        """Read what Redis says of changed keys while nothing can be consumed; the next fetch looks by itself."""
        connection = self.client.connection
        try:
            while connection._sock is not None and connection.can_read(timeout=0):
                connection.read_response(push_request=True)
        except self.connection_errors:
            connection.disconnect()

    def close(self) -> None:
        """Close; a connection that waits owes no answer."""
        self.look_again()
        super().close()


class Poller(stock.MultiChannelPoller):
    """Lets waiting channels look again, and keeps what Redis pushes from being taken for the end of a connection."""

    def on_poll_start(self) -> None:
        """Begin a turn of the event loop: fetch, and say what is done; kombu calls this without an event loop, too."""
        super().on_poll_start()
        channel = Channel.current
        if channel in self._channels:
            channel.settle_due()

    def on_readable(self, fileno: int) -> Any:
        """Read from a connection."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind == "BRPOP" and not channel._in_poll:
            return channel.discard_pushes()
        return super().on_readable(fileno)

    def look_again(self) -> None:
        """Ask again on each connection that waits; what is done waits no longer."""
        for channel in self._channels:
            channel.look_again()
        if Channel.current in self._channels:
            Channel.current.settle_due(at_once=True)

    def maybe_check_brpop_health(self) -> None:
        """Look again, too: kombu calls this after a while without news where there is no event loop."""
        self.look_again()
        super().maybe_check_brpop_health()


class Transport(stock.Transport):
    """kombu's Redis transport with the channel above."""

    Channel = Channel
    # Whether this process is a worker: it needs a broker that takes something.
    consumes: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def establish_connection(self) -> Any:
        """Connect.

        Raises:
            RefusedForNow: this is a worker, and Redis takes nothing for now. A replica would else answer, and refuse what comes next.
        """
        connection = super().establish_connection()
        if self.consumes:
            channel = self._avail_channels[-1]
            try:
                channel.ledger.touch()
            except BaseException:
                self._avail_channels.remove(channel)
                channel.close()
                raise
        return connection

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Register, with a look at the queues each second as the net under Redis's messages."""
        super().register_with_event_loop(connection, loop)
        Channel.settlements.travel = True
        loop.call_repeatedly(self.brpop_timeout, self.cycle.look_again)


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part."""
    return {"worker_consumer": "celery_runtime.consumer:Consumer"}


def install() -> None:
    """Let every `redis://` and `rediss://` of this process use this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    # redis-py before 6 writes each message to all into the log, with all that it holds.
    logging.getLogger("push_response").setLevel(logging.WARNING)
    retries.install()
    decompression.install()
    log_text.install()
    single_worker.install()
