"""The command `celery dead-letters`: messages that took their worker down too often, or that nobody can read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from celery.bin.base import CeleryCommand, handle_preload_options
from redis.exceptions import ResponseError

from .blame import points
from .entries import shown
from .ledger import DeadLetter, Ledger
from .transport import Channel

IDS = click.argument("ids", nargs=-1, required=False)
ALL = click.option("--all", "everything", is_flag=True, help="All dead letters.")


@contextmanager
def _ledger(context: click.Context) -> Iterator[Ledger]:
    with context.obj.app.connection_for_write() as connection:
        channel = connection.default_channel
        if not isinstance(channel, Channel):
            raise click.ClickException(
                "there are none: the part 'transport' of stack_runtime_parts is off, or the broker is no single Redis"
            )
        yield channel.ledger


def _chosen(ledger: Ledger, ids: tuple[str, ...], everything: bool) -> list[DeadLetter]:
    letters = ledger.dead_letters()
    if everything == bool(ids):
        raise click.UsageError("name the ids, or say --all")
    unknown = sorted(set(ids) - {shown(letter.id) for letter in letters})
    if unknown:
        raise click.ClickException(f"no such dead letter: {', '.join(unknown)}; see: dead-letters list")
    return [letter for letter in letters if everything or shown(letter.id) in ids]


def _requeued(ledger: Ledger, letter: DeadLetter) -> bool:
    try:
        return ledger.requeue(letter)
    except ResponseError as error:
        click.echo(f"{shown(letter.id)} stays: {shown(letter.list)} takes no messages: {shown(str(error))}", err=True)
        return False


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


@click.group(name="dead-letters")
def dead_letters() -> None:
    """Messages that took their worker down too often, or that nobody can read.

    They are kept in Redis until somebody requeues or drops them.
    """


@dead_letters.command(name="list", cls=CeleryCommand)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@click.pass_context
@handle_preload_options
def show_all(context: click.Context, as_json: bool) -> None:
    """List them, those that came last at the end."""
    with _ledger(context) as ledger:
        letters = ledger.dead_letters()
    for letter in letters:
        last = letter.story[-1]
        name = shown(letter.id)
        if as_json:
            click.echo(json.dumps({"id": name, "task": letter.task, "queue": letter.list, "story": letter.story}))
        else:
            where = shown(letter.list) or "-"
            click.echo(f"{name}  {letter.task or '-'}  {where}  {_when(last['at'])}  {shown(last['reason'])}")
    if not letters and not as_json:
        click.echo("no dead letters")


@dead_letters.command(name="show", cls=CeleryCommand)
@click.argument("id_")
@click.pass_context
@handle_preload_options
def show(context: click.Context, id_: str) -> None:
    """Show the message and the story of one, arguments included."""
    with _ledger(context) as ledger:
        (letter,) = _chosen(ledger, (id_,), everything=False)
    click.echo(f"id     {shown(letter.id)}\ntask   {letter.task or '-'}\nqueue  {shown(letter.list) or '-'}")
    for event in letter.story:
        counts = f" (counts {points([event]):g})" if "points" in event else ""
        click.echo(f"       {_when(event['at'])}  {shown(event['node']) or '-'}  {shown(event['reason'])}{counts}")
    # It goes to a terminal: nothing in it may be an order to that.
    click.echo("".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in letter.message))


@dead_letters.command(name="requeue", cls=CeleryCommand)
@IDS
@ALL
@click.pass_context
@handle_preload_options
def requeue(context: click.Context, ids: tuple[str, ...], everything: bool) -> None:
    """Put them back into their queues, with nothing held against them."""
    with _ledger(context) as ledger:
        count = sum(_requeued(ledger, letter) for letter in _chosen(ledger, ids, everything))
    click.echo(f"requeued {count}")


@dead_letters.command(name="drop", cls=CeleryCommand)
@IDS
@ALL
@click.pass_context
@handle_preload_options
def drop(context: click.Context, ids: tuple[str, ...], everything: bool) -> None:
    """Remove them for good."""
    with _ledger(context) as ledger:
        count = sum(ledger.drop(letter) for letter in _chosen(ledger, ids, everything))
    click.echo(f"dropped {count}")
