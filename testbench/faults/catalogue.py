"""The faults, in the order in which they are done."""

from __future__ import annotations

from testbench.faults import culprits, damage
from testbench.faults.engine import Fault

# WatchdogSec of the units, and what may pass beyond it until a frozen one works again.
WATCHDOG = 60.0

FAULTS = (
    Fault("kill-child", "kill -9 of a child with a task", damage.kill_child),
    Fault("kill-main", "kill -9 of a worker's main process", damage.kill_main),
    Fault(
        "kill-cgroup",
        "kill -9 of a whole worker, ten times",
        damage.kill_cgroup,
        check=damage.outlived_all_kills,
    ),
    Fault("stop-worker", "worker stopped and started under load", damage.stop_worker, heal=damage.start_workers),
    Fault("freeze-worker", "worker frozen (SIGSTOP)", damage.freeze_worker, WATCHDOG + 60, heal=damage.thaw_workers),
    Fault("kill-redis", "kill -9 of Redis", damage.kill_redis),
    Fault("restart-redis", "Redis restarted", damage.restart_redis),
    Fault("freeze-redis", "Redis frozen for 30 s", damage.freeze_redis, heal=damage.thaw_redis),
    Fault("full-redis", "Redis full", damage.fill_redis, heal=damage.empty_redis, check=damage.senders_were_told),
    Fault("cut-redis", "network to Redis dropped for 60 s", damage.cut_redis, heal=damage.join_redis),
    Fault("stop-database", "PostgreSQL stopped for 30 s", damage.stop_database, heal=damage.start_database),
    Fault(
        "full-disk",
        "disk of the database full, then freed",
        damage.fill_disk,
        prepare=damage.move_to_small_disk,
        heal=damage.move_back,
        check=damage.disk_was_full,
    ),
    Fault("power-cut", "power cut of the host", damage.cut_power, 90.0, heal=damage.power_on),
    Fault("kill-beat", "beat killed while runs are due", damage.kill_beat),
    Fault("beat-without-redis", "broker away while runs are due", damage.beat_without_redis, heal=damage.start_redis),
    Fault(
        "killer-task",
        "a task that ends its worker, as a fault in native code does",
        damage.killer_task,
        check=damage.killer_is_dead_letter,
        fails=1,
        patience=240,
    ),
    Fault(
        "signalling-task",
        "a task that sends its worker a SIGKILL",
        culprits.signalling_task,
        check=culprits.failed_alone("Operation not permitted"),
        fails=1,
    ),
    Fault(
        "greedy-task",
        "a task that takes all its pool's memory",
        culprits.greedy_task,
        check=culprits.failed_alone("SIGKILL"),
        fails=1,
    ),
    Fault("leaking-task", "a task that leaks memory", damage.leaking_task, check=damage.leakers_were_replaced),
    Fault(
        "overrunning-task",
        "a task past its hard time limit",
        damage.overrunning_task,
        check=damage.ended_by_limit,
        fails=1,
    ),
    Fault(
        "worker-gone",
        "a worker gone for good while another lives",
        damage.lose_worker,
        heal=damage.bring_worker_back,
        check=damage.taken_over_in_time,
        absent=(damage.MAIN,),
        patience=240,
    ),
)
