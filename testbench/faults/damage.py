"""How each fault is done, undone where it doesn't heal by itself, and what it in particular must have left."""

from __future__ import annotations

import contextlib
import itertools
import json
import time

from testbench.console import Problem
from testbench.faults.account import Moment, Seen
from testbench.faults.engine import SPARE, Bench, Row
from testbench.faults.host import Target, wait_for
from testbench.podman import podman

MAIN = "celery-worker@main.service"
HIGH = "celery-worker@high.service"
REDIS = "redis-server.service"
BEAT = "celery-beat.service"
DATABASE = "postgresql@*"
# Seconds for which a disk may be too busy to take Redis' log.
LOG_PATIENCE = 30
GONE = "/run/systemd/system/celery-worker@main.service.d/gone.conf"
# The database's files on a disk of their own that a file of ballast can fill, beside which this much (MiB) is free at first.
DISK = "/run/small-disk"
FREE = 48
TAKEN_OVER = 240.0
# Kills of a whole worker, and part of the name of the job that runs at each of them.
KILLS = 10
OUTLIVES = "outlives"


# --- Workers ---------------------------------------------------------------------------------------------------------------


def kill(target: Target, unit: str, *, whom: str = "all", signal: str = "KILL") -> None:
    """Send a signal to a unit's processes."""
    target.systemctl("kill", f"--signal={signal}", f"--kill-whom={whom}", unit)


def kill_child(bench: Bench) -> list[Moment]:
    """Kill the process that is working on a job."""
    [job] = bench.load.submit("held", queue="default", seconds=3.0)
    process = wait_for(lambda: next((row["process"] for row in bench.seen().deliveries if row["job"] == job), None), 60)
    if process is None:
        raise Problem("kill-child: nobody has begun with the job")
    bench.target.sh(f"kill -KILL {process}")
    return [bench.moment("main")]


def kill_main(bench: Bench) -> list[Moment]:
    """Kill the main process of both pools."""
    bench.hold("high", "default")
    for unit in (HIGH, MAIN):
        kill(bench.target, unit, whom="main")
    return [bench.moment()]


def kill_cgroup(bench: Bench, times: int = KILLS) -> list[Moment]:
    """Kill all processes of a pool, again and again, each time as soon as it works again. One job runs at every kill."""
    moments = []
    [job] = bench.load.submit(OUTLIVES, task="jobs.wait_for_gate", queue="default")
    for number in range(times):
        # No more than that: the pool has few processes, and progress is awaited after each kill.
        bench.hold("default", count=1, seconds=2.0)
        wait_for(lambda wanted=number: deliveries(bench.seen(), job) > wanted, 60)
        kill(bench.target, MAIN)
        moments.append(bench.moment("main"))
        if bench.wait_for_progress(moments[-1]) is None:
            break
    open_gate(bench, job)
    return moments


def open_gate(bench: Bench, job: str) -> None:
    """Let a job end that waits for it."""
    bench.target.sql(f"insert into jobs_done (job) values ('{job}-may-end')")  # noqa: S608 (a name of our own making)  # nosec B608


def deliveries(seen: Seen, part: str) -> int:
    """Count how often the job was begun whose name has this part."""
    return sum(part in delivery["job"] for delivery in seen.deliveries)


def outlived_all_kills(_row: Row, seen: Seen) -> list[str]:
    """Expect that one job was begun anew after each kill, which is more often than any delivery limit would let a culprit."""
    begun = deliveries(seen, OUTLIVES)
    return [] if begun > KILLS else [f"the long job was begun {begun} times, so this shows nothing"]


def stop_worker(bench: Bench) -> list[Moment]:
    """Stop both pools while they work, and start them again."""
    bench.hold("high", "default")
    bench.target.systemctl("stop", HIGH, MAIN)
    moment = bench.moment()
    bench.target.systemctl("start", HIGH, MAIN)
    return [moment]


def start_workers(target: Target) -> None:
    """Start the pools."""
    target.systemctl("start", "--no-block", HIGH, MAIN)


def freeze_worker(bench: Bench) -> list[Moment]:
    """Stop every process of a pool by SIGSTOP; the watchdog has to notice."""
    bench.hold("default")
    kill(bench.target, MAIN, signal="STOP")
    return [bench.moment("main")]


def thaw_workers(target: Target) -> None:
    """Let the pool's processes go on."""
    target.systemctl("kill", "--signal=CONT", MAIN, check=False)


def lose_worker(bench: Bench) -> list[Moment]:
    """Kill a pool that won't come back, while another one takes from the same queues."""
    target = bench.target
    target.systemctl("start", SPARE)
    if bench.wait_for_progress(bench.moment("spare")) is None:
        raise Problem("worker-gone: the other worker takes nothing")
    target.sh(
        f"mkdir -p {GONE.rsplit('/', 1)[0]} && printf '[Service]\\nRestart=no\\n' > {GONE} && systemctl daemon-reload"
    )
    bench.hold("default", count=4)
    kill(target, MAIN)
    return [bench.moment("spare", "high")]


def bring_worker_back(target: Target) -> None:
    """Let the pool start again, and stop the one that stood in for it."""
    target.sh(f"rm -f {GONE} && systemctl daemon-reload && systemctl start {MAIN} && systemctl stop {SPARE}")


def taken_over_in_time(row: Row, _seen: Seen) -> list[str]:
    """Expect the dead worker's jobs to have been taken over."""
    if not row.account.twice:
        return ["the dead worker held no job, so this shows nothing"]
    if row.account.all_done is None or row.account.all_done > TAKEN_OVER:
        return [f"its jobs were done after {row.account.all_done} s, allowed are {TAKEN_OVER:g}"]
    return []


# --- Tasks -----------------------------------------------------------------------------------------------------------------


def killer_task(bench: Bench) -> list[Moment]:
    """Send a task that ends the worker's main process wherever it runs."""
    [job] = bench.load.submit("killer", task="jobs.kill_worker", queue="default")

    def given_up() -> bool:
        seen = bench.seen()
        return job in seen.dead or any(row["task_id"] == job and row["status"] == "FAILURE" for row in seen.results)

    wait_for(given_up, 400)
    return [bench.moment("main", "high")]


def killer_is_dead_letter(row: Row, seen: Seen) -> list[str]:
    """Expect the killer, and nothing but the killer, among the dead letters."""
    dead = {job for job in seen.dead if job.startswith(f"{row.run}-")}
    return [] if dead == {*row.account.failed} and len(dead) == 1 else [f"dead letters: {sorted(dead)}"]


def leaking_task(bench: Bench) -> list[Moment]:
    """Send tasks that keep memory for ever."""
    names = set(bench.load.submit("leak", 15, task="jobs.leak", queue="low"))
    wait_for(lambda: names <= {row["job"] for row in bench.seen().effects}, 120)
    return [bench.moment("main")]


def leakers_were_replaced(_row: Row, seen: Seen) -> list[str]:
    """Expect more processes than the pool has at a time."""
    processes = {delivery["process"] for delivery in seen.deliveries if "-leak-" in delivery["job"]}
    return [] if len(processes) > 3 else [f"{len(processes)} processes shared 15 leaks: none was replaced"]


def overrunning_task(bench: Bench) -> list[Moment]:
    """Send a task that doesn't end."""
    [job] = bench.load.submit("overrun", task="jobs.overrun", queue="low", seconds=600)
    wait_for(lambda: any(row["task_id"] == job and row["status"] == "FAILURE" for row in bench.seen().results), 120)
    ended = [row["at"] for row in bench.seen().results if row["task_id"] == job and row["at"]]
    # Its child was killed some moments before that was written down.
    return [Moment(min(ended, default=time.time()), ("main",))]


def ended_by_limit(row: Row, seen: Seen) -> list[str]:
    """Expect the reason to be the time limit."""
    reasons = [result["result"] for result in seen.results if result["task_id"] in row.account.failed]
    return (
        []
        if all("TimeLimitExceeded" in str(reason) for reason in reasons)
        else [f"it failed for another reason: {reasons}"]
    )


# --- Redis -----------------------------------------------------------------------------------------------------------------


def await_log(target: Target) -> None:
    """Wait until Redis holds back nothing that it has answered for.

    Raises:
        Problem: the disk is too busy for that, so the row would be about the disk.
    """
    if wait_for(target.log_is_written, LOG_PATIENCE) is None:
        raise Problem(
            f"Redis' log isn't written after {LOG_PATIENCE} s: the disk is too busy for what this row is about."
        )


def kill_redis(bench: Bench) -> list[Moment]:
    """Kill the broker while jobs wait in it."""
    bench.load.submit("queued", 12, queue="default", seconds=2.0)
    await_log(bench.target)
    kill(bench.target, REDIS)
    return [bench.moment()]


def restart_redis(bench: Bench) -> list[Moment]:
    """Restart the broker."""
    bench.hold("high", "default")
    bench.target.systemctl("restart", REDIS)
    return [bench.moment()]


def freeze_redis(bench: Bench) -> list[Moment]:
    """Stop the broker's process by SIGSTOP: connections stay, and nothing answers."""
    bench.hold("high", "default")
    kill(bench.target, REDIS, signal="STOP")
    time.sleep(30)
    kill(bench.target, REDIS, signal="CONT")
    return [bench.moment()]


def thaw_redis(target: Target) -> None:
    """Let the broker go on."""
    target.systemctl("kill", "--signal=CONT", REDIS, check=False)


def fill_redis(bench: Bench) -> list[Moment]:
    """Leave the broker no memory, so that it refuses every command that needs some."""
    bench.load.submit("queued", 6, queue="default", seconds=2.0)
    bench.hold("high")
    before = bench.target.redis("CONFIG GET maxmemory").split()[1]
    bench.target.redis("CONFIG SET maxmemory 1")
    time.sleep(10)
    bench.target.redis(f"CONFIG SET maxmemory {before}")
    return [bench.moment()]


def empty_redis(target: Target) -> None:
    """Give the broker its memory back, if a run that broke off has left it without."""
    if target.redis("CONFIG GET maxmemory").split()[1:] == ["1"]:
        target.redis("CONFIG SET maxmemory 256mb")


def senders_were_told(row: Row, _seen: Seen) -> list[str]:
    """Expect senders to have got an error while the broker was full."""
    return [] if row.refused else ["no sender was told that the broker is full"]


def cut_redis(bench: Bench) -> list[Moment]:
    """Drop all packets to and from the broker."""
    bench.hold("high", "default")
    bench.target.cut_broker()
    time.sleep(60)
    bench.target.join_broker()
    return [bench.moment()]


def join_redis(target: Target) -> None:
    """Let packets pass."""
    target.join_broker()


def start_redis(target: Target) -> None:
    """Start the broker."""
    target.systemctl("start", REDIS)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------------


def database_unit(target: Target) -> str:
    """Return the name of the database's unit."""
    return target.sh(f"systemctl list-units --all --plain --no-legend '{DATABASE}' | cut -d' ' -f1").split()[0]


def stop_database(bench: Bench) -> list[Moment]:
    """Stop the database for a while."""
    unit = database_unit(bench.target)
    bench.hold("high", "default")
    bench.target.systemctl("stop", unit)
    time.sleep(30)
    bench.target.systemctl("start", unit)
    return [bench.moment()]


def start_database(target: Target) -> None:
    """Start the database."""
    target.systemctl("start", database_unit(target))


def move_to_small_disk(target: Target) -> None:
    """Put the database's files, its log of changes included, on a small disk."""
    unit = database_unit(target)
    target.systemctl("stop", unit)
    target.sh(
        f"set -eu; files=/var/lib/postgresql; mkdir -p {DISK}; size=$(du -sm $files | cut -f1)\n"
        f"mount -t tmpfs -o size=$((size + {FREE}))m tmpfs {DISK}; cp -a $files/. {DISK}/; mount --bind {DISK} $files"
    )
    target.systemctl("start", unit)


def fill_disk(bench: Bench) -> list[Moment]:
    """Fill the disk to the last byte, and make the database write a new piece of its log."""
    target = bench.target
    bench.hold("high", "default")
    target.sh(f"dd if=/dev/zero of={DISK}/ballast bs=1M 2>/dev/null || true")
    for _ in range(4):
        time.sleep(3)
        # The server gives up and starts again when it can't write its log; that is part of the fault.
        with contextlib.suppress(Problem):
            target.sql("create table if not exists jobs_ballast (line text)")
        with contextlib.suppress(Problem):
            target.sql("insert into jobs_ballast select repeat(md5(n::text), 100) from generate_series(1, 20000) n")
    target.sh(f"rm -f {DISK}/ballast")
    return [bench.moment()]


def move_back(target: Target) -> None:
    """Put the database's files back where they were."""
    if target.sh(f"mountpoint -q {DISK} && echo yes || true").strip() != "yes":
        return
    unit = database_unit(target)
    target.systemctl("stop", unit)
    target.sh(
        f"set -eu; files=/var/lib/postgresql; rm -f {DISK}/ballast; umount $files; find $files -mindepth 1 -delete\n"
        f"cp -a {DISK}/. $files/; umount {DISK}"
    )
    target.systemctl("start", unit)


def disk_was_full(_row: Row, seen: Seen) -> list[str]:
    """Expect the time without progress to show that the disk was really full."""
    done = sorted(effect["at"] for effect in seen.effects)
    longest = max((after - before for before, after in itertools.pairwise(done)), default=0)
    return [] if longest > 5 else ["work went on all the time, so the disk wasn't full"]


# --- The host --------------------------------------------------------------------------------------------------------------


def cut_power(bench: Bench) -> list[Moment]:
    """Cut the power, and boot."""
    bench.hold("high", "default")
    await_log(bench.target)
    bench.target.power_off()
    moment = bench.moment()
    bench.target.power_on()
    return [moment]


def power_on(target: Target) -> None:
    """Boot the host unless it is up."""
    target.power_on()


# --- Beat ------------------------------------------------------------------------------------------------------------------


def due(bench: Bench, after: float, count: int) -> float:
    """Have beat run a job each second, from so many seconds after now on; return when the first one is due."""
    first = time.time() + after
    rows = [{"id": f"{bench.load.run}-beat-{n:02d}", "queue": "default", "at": round(first) + n} for n in range(count)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    podman(
        "exec",
        "--interactive",
        bench.target.container,
        f"/usr/local/sbin/{bench.target.app}-manage",
        "schedule_jobs",
        data=lines.encode(),
    )
    for row in rows:
        bench.load.ledger.note(row["id"], "accepted")
    return first


def kill_beat(bench: Bench) -> list[Moment]:
    """Kill beat twice while something is due every second."""
    first = due(bench, 9, 12)
    time.sleep(max(0.0, first + 1.5 - time.time()))
    kill(bench.target, BEAT)
    moments = [bench.moment("main", only="-beat-")]
    bench.wait_for_progress(moments[0])
    kill(bench.target, BEAT)
    return [*moments, bench.moment("main", only="-beat-")]


def beat_without_redis(bench: Bench) -> list[Moment]:
    """Take the broker away before something is due, and bring it back after."""
    first = due(bench, 9, 6)
    time.sleep(max(0.0, first - 1 - time.time()))
    bench.target.systemctl("stop", REDIS)
    time.sleep(max(0.0, first + 8 - time.time()))
    bench.target.systemctl("start", REDIS)
    return [bench.moment("main", only="-beat-"), bench.moment()]
