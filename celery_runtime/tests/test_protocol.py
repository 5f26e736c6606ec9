"""A model of the protocol against a real Redis: two workers, killed, frozen and overtaken at any point, and nothing is ever lost.

Hypothesis draws the steps. What it draws is the same each time, but for `PROTOCOL_SEED`; `PROTOCOL_STEPS` says how many steps it is
to be at least (`make chaos` takes more). With `PROTOCOL_SHRINK=1` a failure is made as short as it can be, which takes minutes.

A step is one command of a worker's, or a few: whatever can come between two of them comes between two of them here.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import jobs_client
from celery_runtime.blame import FULL, Loss
from celery_runtime.ledger import DeadLetter, Ledger
from celery_runtime.survey import Survey
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

STEPS = int(os.environ.get("PROTOCOL_STEPS", "10000"))
LENGTH = 50
# Examples end before their time, too: on the average with four fifths of their steps.
EXAMPLES = max(1, STEPS * 5 // (LENGTH * 4))
LIMIT = 3
QUEUE = "low"
# What has to come about, and often.
EVENTS = (
    "settle_one by another",
    "reject_one by another",
    "refuse_one by another",
    "a restore that came too late",
    "a restore that met another fetch",
    "a dead letter",
    "what never arrived",
)
WORKERS = st.integers(0, 1)
PICK = st.integers(0, 99)


class Interrupted(Ledger):
    """A ledger between whose look at a message and whose script something else may happen."""

    between: Callable[[], None] | None = None

    def _look(self, tag: str) -> Any:
        seen = super()._look(tag)
        happens, self.between = self.between, None
        if happens:
            happens()
        return seen


class Worker:
    """What one process of a worker knows, and what it is about to do.

    Attributes:
        mine: tags of the messages that have arrived here.
        todo: tags that a start or a takeover is about to put back.
    """

    def __init__(self, client: Any, name: str) -> None:
        self.name = name
        self.ledger = Interrupted(client, limit=LIMIT)
        self.survey = Survey(0)
        self.mine: list[str] = []
        self.todo: list[str] = []
        self.gone = ""

    def pick(self, number: int) -> str:
        return self.mine[number % len(self.mine)]


class Protocol(RuleBasedStateMachine):
    """The rules; `owner` is what the model says: the time of the fetch by which each message is held."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client
        self.steps = 0
        self.met: Counter[str] = Counter()
        self.published: set[str] = set()
        self.done: set[str] = set()
        self.owner: dict[str, float] = {}
        self.workers: list[Worker] = []
        # Processes that were killed; what they had sent may still arrive.
        self.ghosts: list[Worker] = []

    @initialize()
    def begin(self) -> None:
        self.client.flushdb()
        self.workers = [Worker(self.client, name) for name in ("one@test", "two@test")]
        for _ in range(3):
            self.publish()

    # What becomes of messages

    @rule()
    def publish(self) -> None:
        tag = f"m{len(self.published)}"
        self.published.add(tag)
        self.client.lpush(QUEUE, json.dumps(jobs_client.made_up(QUEUE, tag)))

    def take(self, worker: Worker) -> str | None:
        fetched = worker.ledger.fetch(worker.name, [QUEUE], [QUEUE])
        if not fetched:
            return None
        tag = fetched[2].decode()
        assert tag not in self.owner
        self.owner[tag] = worker.ledger.fetches[tag]
        return tag

    @rule(index=WORKERS, count=st.integers(1, 3))
    def fetch(self, index: int, count: int = 1) -> None:
        worker = self.workers[index]
        for _ in range(count):
            if not worker.todo and (tag := self.take(worker)) and tag not in worker.mine:
                worker.mine.append(tag)

    @rule(index=WORKERS)
    def fetch_whose_answer_is_lost(self, index: int) -> None:
        worker = self.workers[index]
        if not worker.todo and (tag := self.take(worker)):
            del worker.ledger.fetches[tag]
            # An earlier fetch of it is no longer what it has.
            worker.mine = [one for one in worker.mine if one != tag]

    def owns(self, worker: Worker, tag: str) -> bool:
        return tag in self.owner and worker.ledger.fetches.get(tag) == self.owner[tag]

    def settle_one(self, worker: Worker, tag: str) -> None:
        mine = self.owns(worker, tag)
        assert worker.ledger.settle(tag) == mine
        if mine:
            del self.owner[tag]
            self.done.add(tag)
        worker.mine.remove(tag)

    def reject_one(self, worker: Worker, tag: str) -> None:
        mine = self.owns(worker, tag)
        outcome = worker.ledger.restore(tag, first=False, own=True)
        assert bool(outcome) == mine
        if mine:
            del self.owner[tag]
        worker.mine.remove(tag)

    def refuse_one(self, worker: Worker, tag: str) -> None:
        mine = self.owns(worker, tag)
        assert bool(worker.ledger.bury(tag, f"{tag} ", "unreadable: so the test says")) == mine
        if mine:
            del self.owner[tag]
        worker.mine.remove(tag)

    @precondition(lambda self: any(worker.mine for worker in self.workers))
    @rule(index=WORKERS, number=PICK, how=st.sampled_from(["settle_one", "settle_one", "reject_one", "refuse_one"]))
    def finish(self, index: int, number: int, how: str) -> None:
        worker = self.workers[index] if self.workers[index].mine else self.workers[1 - index]
        self.say(how, worker, number)

    def say(self, how: str, worker: Worker, number: int) -> None:
        tag = worker.pick(number)
        if tag in self.owner and not self.owns(worker, tag):
            self.met[f"{how} by another"] += 1
        getattr(self, how)(worker, tag)

    @precondition(lambda self: any(ghost.mine for ghost in self.ghosts))
    @rule(number=PICK, how=st.sampled_from(["settle_one", "reject_one", "refuse_one"]))
    def what_a_dead_process_had_sent_arrives(self, number: int, how: str) -> None:
        ghosts = [ghost for ghost in self.ghosts if ghost.mine]
        ghost = ghosts[number % len(ghosts)]
        self.say(how, ghost, number)

    # What becomes of workers

    @rule(index=WORKERS)
    def crash_and_start(self, index: int) -> None:
        old = self.workers[index]
        self.ghosts.append(old)
        new = self.workers[index] = Worker(self.client, old.name)
        new.ledger.renew(new.name)
        new.todo = [held.tag for held in new.ledger.held(new.name)]

    @rule(index=WORKERS)
    def reconnect(self, index: int) -> None:
        worker = self.workers[index]
        worker.mine = []
        worker.todo = [held.tag for held in worker.ledger.held(worker.name)]

    @rule(index=WORKERS)
    def begin_a_takeover(self, index: int) -> None:
        """Whether the other is gone, frozen or quick: nobody can tell these apart."""
        worker, other = self.workers[index], self.workers[1 - index]
        if not worker.todo:
            worker.gone = other.name
            worker.todo = [held.tag for held in worker.ledger.held(other.name)]

    def put_back(self, worker: Worker, tag: str, loss: Loss | None) -> None:
        before = self.owner.get(tag)
        outcome = worker.ledger.restore(tag, loss=loss)
        # Something may have happened between the look and the script.
        after = self.owner.get(tag)
        assert bool(outcome) == (before is not None and before == after), (before, after)
        self.met["a restore that came too late"] += before != after
        self.met["a restore that met another fetch"] += before != after and None not in (before, after)
        self.met["a dead letter"] += isinstance(outcome, DeadLetter)
        if outcome:
            del self.owner[tag]
        if isinstance(outcome, DeadLetter):
            assert self.client.hexists(worker.ledger.dead, outcome.id)

    @precondition(lambda self: any(worker.todo for worker in self.workers))
    @rule(index=WORKERS, blamed=st.booleans())
    def put_one_back(self, index: int, blamed: bool) -> None:
        worker = self.workers[index] if self.workers[index].todo else self.workers[1 - index]
        tag = worker.todo.pop()
        self.put_back(worker, tag, Loss("killed", FULL) if blamed else None)
        if worker.gone and not worker.todo:
            leases = worker.ledger.renew(worker.name)
            worker.ledger.forget(worker.gone, leases.get(worker.gone, b""))
            worker.gone = ""

    @precondition(lambda self: any(worker.todo for worker in self.workers))
    @rule(index=WORKERS, event=st.sampled_from(["settled", "put back", "put back and fetched again"]))
    def put_one_back_while_something_happens_to_it(self, index: int, event: str) -> None:
        index = index if self.workers[index].todo else 1 - index
        worker, other = self.workers[index], self.workers[1 - index]
        tag = worker.todo.pop()

        def happens() -> None:
            for one in (*self.workers, *self.ghosts):
                if event == "settled" and tag in one.mine and self.owns(one, tag):
                    self.settle_one(one, tag)
            if event != "settled":
                self.put_back(other, tag, None)
            if event.endswith("again"):
                self.fetch(1 - index)

        worker.ledger.between = happens
        self.put_back(worker, tag, Loss("killed", FULL))
        worker.ledger.between = None

    @precondition(lambda self: self.owner)
    @rule(index=WORKERS, number=PICK, blamed=st.booleans())
    def be_overtaken(self, index: int, number: int, blamed: bool) -> None:
        """A takeover and the heir's fetch, all at once."""
        tag = sorted(self.owner)[number % len(self.owner)]
        self.put_back(self.workers[index], tag, Loss("killed", FULL) if blamed else None)
        self.fetch(index)

    @precondition(lambda self: any(worker.mine for worker in self.workers))
    @rule(index=WORKERS, number=PICK, how=st.sampled_from(["settle_one", "reject_one", "refuse_one"]))
    def end_after_being_overtaken(self, index: int, number: int, how: str) -> None:
        index = index if self.workers[index].mine else 1 - index
        worker, other = self.workers[index], self.workers[1 - index]
        tag = worker.pick(number)
        if self.owns(worker, tag):
            self.put_back(other, tag, None)
            if (taken := self.take(other)) and taken not in other.mine:
                other.mine.append(taken)
        self.say(how, worker, number)

    @precondition(lambda self: self.owner)
    @rule(index=WORKERS, number=PICK)
    def kill_whoever_takes_it(self, index: int, number: int) -> None:
        tag = sorted(self.owner)[number % len(self.owner)]
        for _ in range(LIMIT):
            if tag in self.owner:
                self.put_back(self.workers[index], tag, Loss("killed", FULL))
                self.take(self.workers[1 - index])

    @rule(index=WORKERS)
    def renew(self, index: int) -> None:
        self.workers[index].ledger.renew(self.workers[index].name)

    @rule(index=WORKERS)
    def look_around(self, index: int) -> None:
        worker = self.workers[index]
        leases = set(worker.ledger.renew(worker.name))
        known = {*worker.mine, *worker.todo}
        found = worker.survey.look(worker.ledger, worker.name, leases, known, set())
        for tag in found.tags:
            self.met["what never arrived"] += 1
            self.put_back(worker, tag, None)
        for node in found.nodes:
            for held in worker.ledger.held(node):
                self.put_back(worker, held.tag, Loss("gone", FULL))

    @rule(number=PICK)
    def the_visibility_timeout_strikes(self, number: int) -> None:
        if self.owner:
            tag = sorted(self.owner)[number % len(self.owner)]
            self.put_back(self.workers[0], tag, None)

    @rule(number=PICK)
    def requeue(self, number: int) -> None:
        letters = self.workers[0].ledger.dead_letters()
        if letters:
            letter = letters[number % len(letters)]
            # What was refused is no message any longer.
            if not letter.id.startswith("unreadable-"):
                assert self.workers[0].ledger.requeue(letter)

    # What holds at every moment

    @invariant()
    def each_message_is_in_exactly_one_place(self) -> None:
        if not self.workers:
            return
        self.steps += 1
        ledger = self.workers[0].ledger
        with self.client.pipeline(transaction=False) as pipe:
            pipe.lrange(QUEUE, 0, -1).lrange(ledger.suspects_of(QUEUE), 0, -1).hkeys(ledger.messages)
            pipe.hvals(ledger.dead).hkeys(ledger.holders).zrange(ledger.times, 0, -1).hkeys(ledger.losses)
            queue, suspects, held, dead, holders, times, losses = pipe.execute()
        waiting = [json.loads(raw)["properties"]["delivery_tag"] for raw in (*queue, *suspects)]
        letters = []
        for raw in dead:
            message = json.loads(raw)["message"]
            letters.append(json.loads(message)["properties"]["delivery_tag"] if message[0] == "{" else message.strip())
        held, holders, times = ([one.decode() for one in names] for names in (held, holders, times))
        everywhere = [*waiting, *held, *letters, *self.done]
        assert sorted(everywhere) == sorted(self.published)
        assert sorted(held) == sorted(holders) == sorted(times) == sorted(self.owner)
        assert {one.decode() for one in losses} <= {*waiting, *held}

    def teardown(self) -> None:
        """After everything each message is done or a dead letter, and nothing is left of it."""
        if not self.workers:
            return
        for index in (0, 1):
            self.crash_and_start(index)
            worker = self.workers[index]
            while worker.todo:
                self.put_back(worker, worker.todo.pop(), None)
        assert self.owner == {}
        worker = self.workers[0]
        while tag := self.take(worker):
            worker.mine.append(tag)
            self.settle_one(worker, tag)
        self.each_message_is_in_exactly_one_place()
        assert (
            self.done | {one.task_id or one.message.strip() for one in worker.ledger.dead_letters()} == self.published
        )
        assert not self.client.exists(worker.ledger.messages, worker.ledger.holders, worker.ledger.times)
        assert not self.client.exists(worker.ledger.losses, worker.ledger.suspects_of(QUEUE), QUEUE)


def test_the_protocol_loses_nothing_and_takes_nothing_from_who_holds_it(server: Any) -> None:
    client, models = server.client, []

    def model() -> Protocol:
        models.append(Protocol(client))
        return models[-1]

    number = os.environ.get("PROTOCOL_SEED")
    run_state_machine_as_test(
        seed(int(number))(model) if number else model,
        settings=settings(
            max_examples=EXAMPLES,
            phases=[Phase.generate, Phase.shrink] if os.environ.get("PROTOCOL_SHRINK") else [Phase.generate],
            stateful_step_count=LENGTH,
            derandomize=not number,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert sum(one.steps for one in models) >= STEPS
    met = sum((one.met for one in models), Counter())
    # A model that never meets what it is about proves nothing.
    assert all(met[event] >= STEPS // 2500 for event in EVENTS), met
