"""The workers' end of Flower's questions: each is answered, no order is obeyed, and nothing that comes from there ends a worker."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps, signals
from celery.utils.collections import AttributeDict
from kombu import Consumer, Queue
from kombu.utils.json import dumps

from .configuration import load
from .envelope import Refused, describe
from .questions import EXCHANGE, Question, exchange, topic

logger = logging.getLogger(__name__)

# What is answered, and with which arguments: never the asker's. Of Celery's inspect commands those that Flower asks for are here; others
# change something after all (`hello` revokes tasks) or take long (`memdump`, `objgraph`). The last two only have events sent.
ANSWERED: dict[str, dict[str, Any]] = {
    "active": {"safe": True},
    "active_queues": {},
    "conf": {},
    "ping": {},
    "registered": {},
    "reserved": {},
    "revoked": {},
    "scheduled": {},
    "stats": {},
    "heartbeat": {},
    "enable_events": {},
}


class Answers(bootsteps.StartStopStep):
    """Listens for questions, beside Celery's own mailbox."""

    # By its name: importing a worker's modules is nothing for the processes of a web server, which load this one, too.
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.channel: Any = None
        self.state = AttributeDict(app=parent.app, hostname=parent.hostname, consumer=parent, tset=set)

    def include_if(self, parent: Any) -> bool:
        """Tell whether this worker may be asked."""
        return bool(parent.app.conf.worker_enable_remote_control) and parent.conninfo.transport.driver_type == "redis"

    def start(self, parent: Any) -> None:
        """Begin with the connection."""
        self.channel = parent.connection.channel()
        queue = Queue(f"{parent.hostname}.{EXCHANGE}", exchange(), durable=False)
        Consumer(self.channel, [queue], no_ack=True, accept=["json"], on_message=self.on_message).consume()

    def stop(self, parent: Any) -> None:
        """End with the connection."""
        channel, self.channel = self.channel, None
        if channel is not None:
            try:
                channel.close()
            except parent.connection_errors as error:
                logger.debug("the channel of questions was gone already: %s", error)

    shutdown = stop

    def on_message(self, message: Any) -> None:
        """Answer a question, whatever it is. What goes wrong here is the asker's: a connection that is gone others find out about."""
        try:
            question = Question.read(message.decode())
            if question.nodes is None or self.state.hostname in question.nodes:
                self._answer(question)
        except Exception as error:
            logger.warning("a question of Flower's login is left without an answer: %s", describe(error))

    def _answer(self, question: Question) -> None:
        try:
            said = self._obey(question)
        except Exception as error:
            said = {"error": describe(error)}
            logger.warning("Flower's login asked for %r: %s", question.command, said["error"])
        if question.ticket:
            with self.channel.conn_or_acquire() as client:
                client.publish(topic(self.channel, question.ticket), dumps({self.state.hostname: said}))

    def _obey(self, question: Question) -> Any:
        from celery.worker.control import Panel

        if load().runtime.flower_commands:
            return Panel.data[question.command](self.state, **question.arguments)
        if question.command not in ANSWERED:
            raise Refused("no question that is answered here; see stack_flower_read_only")
        return Panel.data[question.command](self.state, **ANSWERED[question.command])


def install() -> None:
    """Let every worker of this process listen. Strong reference: a weakly held handler would be gone at once."""
    signals.worker_init.connect(_add, weak=False, dispatch_uid="celery_runtime.answers")


def _add(sender: Any = None, **_: Any) -> None:
    sender.app.steps["consumer"].add(Answers)
