"""The names of other packages on which the runtime relies although nobody promises to keep them.

A table and no more: what is done with it stands in `compatibility`. Whoever overrides a method of kombu's, Celery's or another's, or
uses a private name of theirs, adds it here; celery_runtime/tests/test_compatibility.py finds what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Process = Literal["worker", "beat", "flower"]

REDIS = "kombu.transport.redis"
VIRTUAL = "kombu.transport.virtual.base"
CONSUMER = "celery.worker.consumer.consumer:Consumer"
BACKEND = "celery.backends.base:Backend"
RESULTS = "django_celery_results.backends.database"
BEAT = "celery.beat:Scheduler"
SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"


@dataclass(frozen=True)
class Override:
    """Something that is overridden or replaced.

    Attributes:
        name: `module:function` or `module:Class.method`.
        signature: its parameters, as `compatibility.signature` writes them; empty for what is no function.
        callers: who looks the name up. Where one of them no longer does, the override may never be called.
        only: the versions in which there is such a thing, as `kombu>=5.7`; empty for all that are supported.
    """

    name: str
    signature: str
    callers: tuple[str, ...] = ()
    only: str = ""


@dataclass(frozen=True)
class Use:
    """Something that is called or read.

    Attributes:
        name: `module:function`, `module:Class.method`, or an attribute of the class's objects.
        parameters: the names of parameters that are given to it by name.
        only: the versions in which there is such a thing, as `kombu>=5.7`; empty for all that are supported.
    """

    name: str
    parameters: tuple[str, ...] = ()
    only: str = ""


@dataclass(frozen=True)
class Group:
    """What some parts rely on.

    Attributes:
        parts: any of these needs it; `all` stands for what is needed whichever parts are on.
        process: who uses it, and so looks at its start.
        names: the names.
    """

    parts: frozenset[str]
    process: Process
    names: tuple[Override | Use, ...]


def _group(parts: str, process: Process, *names: Override | Use) -> Group:
    return Group(frozenset(parts.split()), process, names)


INTERNALS = (
    _group(
        "all",
        "worker",
        Override("celery.app.utils:filter_hidden_settings", "conf", ("celery.app.utils:Settings.table",)),
        Use("celery.app.utils:HIDDEN_SETTINGS"),
        Use("celery.app.defaults:_TO_NEW_KEY"),
        Use("celery.app.defaults:_TO_OLD_KEY"),
        Override("celery:Celery.prepare_config", "self, c", ("celery:Celery._load_config",)),
        Use("celery:Celery._preconf"),
        Override("celery.bootsteps:Step.__init__", "self, parent, **kwargs"),
        Override("celery.bootsteps:Step.requires", "", ("celery.bootsteps:Blueprint._firstpass",)),
        Override("celery.bootsteps:Step.include_if", "self, parent", ("celery.bootsteps:Step._should_include",)),
        Override("celery.bootsteps:StartStopStep.start", "self, parent", ("celery.bootsteps:Blueprint.start",)),
        Override("celery.bootsteps:StartStopStep.stop", "self, parent"),
        Use(f"{REDIS}:Channel._get_publish_topic"),
    ),
    _group(
        "all",
        "flower",
        Override("flower.utils.broker:RedisSocket", "", ("flower.utils.broker:Broker.__new__",)),
        Override("flower.utils.broker:RedisSocket.__init__", "self, broker_url, *args, **kwargs"),
        Override(f"{REDIS}:Channel._queue_bind", "self, exchange, routing_key, pattern, queue"),
        Override(f"{REDIS}:Channel._get_queue_expire", "self, args", only="kombu>=5.7"),
        Override(f"{REDIS}:Channel._delete", "self, queue, exchange, routing_key, pattern, *args, **kwargs"),
        Override(f"{REDIS}:Channel._size", "self, queue"),
        Override(f"{REDIS}:Channel._connparams", "self, [asynchronous]", (f"{REDIS}:Channel._get_pool",)),
        Override(f"{REDIS}:Channel._fanout_queues", "", (f"{REDIS}:Channel.basic_consume",)),
        Override(f"{REDIS}:Channel.ack_emulation", "", (f"{REDIS}:Channel.__init__",)),
        Override(f"{REDIS}:Transport.Channel", "", (f"{VIRTUAL}:Transport.create_channel",)),
        # By the name that stands in `control_cls`.
        Override("celery.app.control:Control", ""),
        Override("celery:Celery.control_cls", "", ("celery:Celery.control",)),
        Override(
            "celery.app.control:Control.broadcast",
            "self, command, [arguments], [destination], [connection], [reply], [timeout], [limit], [callback], [channel], "
            "[pattern], [matcher], **extra_kwargs",
            ("celery.app.control:Inspect._request",),
        ),
        Override("flower.views.monitor:Metrics.get", "self"),
        Override("flower.views:BaseHandler.get_current_user", "self"),
        Use("flower.utils.broker:RedisSocket.redis"),
        Use("flower.utils.broker:RedisSocket.username"),
        Override("flower.views:BaseHandler.get_current_user", "self"),
        Override("flower.views.monitor:Metrics.get", "self"),
        Override("celery.app.control:Control", ""),
        Override(
            "celery.app.control:Control.broadcast",
            "self, command, [arguments], [destination], [connection], [reply], [timeout], [limit], [callback], [channel], "
            "[pattern], [matcher], **extra_kwargs",
            ("celery.app.control:Inspect._request", "celery.events.receiver:EventReceiver.wakeup_workers"),
        ),
        Use("kombu.transport:TRANSPORT_ALIASES"),
        Override(f"{REDIS}:Transport.Channel", "", (f"{VIRTUAL}:Transport.create_channel",)),
        Override(f"{REDIS}:Channel.ack_emulation", "", (f"{REDIS}:Channel.__init__",)),
        Override(
            f"{REDIS}:Channel._queue_bind",
            "self, exchange, routing_key, pattern, queue",
            (f"{VIRTUAL}:Channel.queue_bind",),
        ),
        Override(f"{REDIS}:Channel._fanout_queues", "", (f"{REDIS}:Channel._get_subscribe_topics",), only="kombu>=5.7"),
        Override(f"{REDIS}:Channel._fanout_queues", "", (f"{REDIS}:Channel._get_subscribe_topic",), only="kombu<5.7"),
        # Older versions know no queue that ends by itself.
        Override(
            f"{REDIS}:Channel._get_queue_expire", "self, args", (f"{REDIS}:Channel._new_queue",), only="kombu>=5.7"
        ),
        Override(
            f"{REDIS}:Channel._delete",
            "self, queue, exchange, routing_key, pattern, *args, **kwargs",
            (f"{VIRTUAL}:Channel.queue_delete",),
        ),
        Override(f"{REDIS}:Channel._size", "self, queue", (f"{VIRTUAL}:Channel.queue_declare",)),
        Override(f"{REDIS}:Channel._connparams", "self, [asynchronous]", (f"{REDIS}:Channel._get_pool",)),
        Use(f"{REDIS}:Channel._get_publish_topic"),
        Use(f"{REDIS}:Channel.conn_or_acquire"),
    ),
    _group(
        "all",
        "worker",
        Override("celery.bootsteps:StartStopStep.start", "self, parent", ("celery.bootsteps:Blueprint.start",)),
        Override("celery.bootsteps:StartStopStep.stop", "self, parent"),
        Override(
            "celery.bootsteps:StartStopStep.include_if", "self, parent", ("celery.bootsteps:Step._should_include",)
        ),
        Override("celery.bootsteps:Step.requires", "", ("celery.bootsteps:Blueprint._firstpass",)),
        Use("celery.worker.control:Panel.data"),
        Use(f"{REDIS}:Channel._get_publish_topic"),
        Use(f"{REDIS}:Channel.conn_or_acquire"),
    ),
    _group(
        "watchdog transport limits results database beat signing",
        "worker",
        Override(
            "celery.worker.request:Request.on_failure",
            "self, exc_info, [send_failed_event], [return_ok]",
            ("celery.worker.request:Request.execute_using_pool", "celery.worker.request:create_request_cls"),
            only="celery<5.7",
        ),
        Use("celery.worker.request:Request._already_cancelled", only="celery<5.7"),
        Use("celery.worker.request:Request._already_revoked", only="celery<5.7"),
        Use("celery.worker.request:Request._context", only="celery<5.7"),
    ),
    _group(
        "watchdog transport",
        "worker",
        Override(f"{CONSUMER}.Blueprint", "", (f"{CONSUMER}.__init__",)),
        Override(f"{CONSUMER}.Blueprint.default_steps", "", ("celery.bootsteps:Blueprint.__init__",)),
        Override(
            f"{CONSUMER}.create_task_handler",
            "self, [promise]",
            ("celery.worker.loops:asynloop", "celery.worker.loops:synloop"),
        ),
        Override(f"{CONSUMER}.on_decode_error", "self, message, exc", ("celery.worker.consumer.tasks:Tasks.start",)),
        Override(f"{CONSUMER}.on_invalid_task", "self, body, message, exc", (f"{CONSUMER}.create_task_handler",)),
        Override(f"{CONSUMER}.on_close", "self", (f"{CONSUMER}.start",)),
        Use("billiard.pool:ApplyResult._accepted", only="celery<5.6"),
        Override(f"{CONSUMER}.ensure_connected", "self, conn", (f"{CONSUMER}.connection_for_read",)),
        Override(
            "celery.worker.heartbeat:Heart._send", "self, event, [retry]", ("celery.worker.heartbeat:Heart.start",)
        ),
        Use("kombu.connection:Connection.ensure_connection"),
        Use(
            "kombu.connection:Connection._ensure_connection",
            ("errback", "max_retries", "interval_start", "interval_step", "interval_max", "callback"),
        ),
        Use(f"{VIRTUAL}:Message._raw"),
        Use("kombu.message:Message._state"),
        Use("celery.worker.state:reserved_requests"),
        Override(
            f"{CONSUMER}.__init__",
            "self, on_task_request, [init_callback], [hostname], [pool], [app], [timer], [controller], [hub], [amqheartbeat], "
            "[worker_options], [disable_rate_limits], [initial_prefetch_count], [prefetch_multiplier], **kwargs",
        ),
        Override(
            "celery.worker.worker:WorkController._process_task",
            "self, req",
            ("celery.worker.components:Pool.create", "celery.worker.worker:WorkController._process_task_sem"),
        ),
        *(
            Override(
                f"celery.worker.request:Request.{name}",
                parameters,
                ("celery.worker.request:Request.execute_using_pool", "celery.worker.request:create_request_cls"),
            )
            for name, parameters in (
                ("on_accepted", "self, pid, time_accepted"),
                ("on_timeout", "self, soft, timeout"),
                ("on_failure", "self, exc_info, [send_failed_event], [return_ok]"),
            )
        ),
        Use("celery.concurrency.asynpool:AsynPool._on_soft_timeout", only="celery<5.7"),
        Use("celery.concurrency.asynpool:AsynPool._on_hard_timeout", only="celery<5.7"),
        Override("kombu.asynchronous.timer:Timer.clear", "self", only="celery<5.7"),
        Override(
            f"{CONSUMER}.call_soon", "self, p, *args, **kwargs", (f"{CONSUMER}.create_task_handler",), only="celery<5.7"
        ),
    ),
    _group(
        "transport",
        "worker",
        Use("kombu.transport:TRANSPORT_ALIASES"),
        Override(f"{REDIS}:QoS.append", "self, message, delivery_tag", (f"{VIRTUAL}:Channel.basic_consume",)),
        Override(f"{REDIS}:QoS.ack", "self, delivery_tag", (f"{VIRTUAL}:Channel.basic_ack",)),
        Override(f"{REDIS}:QoS.reject", "self, delivery_tag, [requeue]", (f"{VIRTUAL}:Channel.basic_reject",)),
        Override(f"{REDIS}:QoS.restore_by_tag", "self, tag, [client], [leftmost]", (f"{REDIS}:QoS.restore_visible",)),
        Override(
            f"{REDIS}:QoS.restore_visible",
            "self, [start], [num], [interval]",
            (f"{REDIS}:MultiChannelPoller.maybe_restore_messages", f"{REDIS}:MultiChannelPoller.on_poll_init"),
        ),
        Override(f"{REDIS}:QoS.restore_unacked", "self, [client]", (f"{VIRTUAL}:QoS.restore_unacked_once",)),
        Use(f"{VIRTUAL}:QoS._delivered"),
        Use(f"{VIRTUAL}:QoS._flush"),
        Override(f"{REDIS}:Channel.QoS", "", (f"{VIRTUAL}:Channel.qos",)),
        Override(f"{REDIS}:Channel.Message", "", (f"{VIRTUAL}:Channel.basic_consume",)),
        Override(f"{REDIS}:Channel.__init__", "self, *args, **kwargs"),
        Override("kombu.message:Message.ack", "self, [multiple]", ("kombu.message:Message.ack_log_error",)),
        Override("kombu.message:Message.reject", "self, [requeue]", ("kombu.message:Message.reject_log_error",)),
        Override("kombu.message:Message.acknowledged", "self", ("kombu.message:Message.ack",)),
        Override(
            f"{REDIS}:Channel._queue_bind",
            "self, exchange, routing_key, pattern, queue",
            (f"{VIRTUAL}:Channel.queue_bind",),
        ),
        Override(f"{REDIS}:Channel._size", "self, queue", (f"{VIRTUAL}:Channel.queue_declare",)),
        Override(f"{REDIS}:Channel._put", "self, queue, message, **kwargs"),
        Override(f"{REDIS}:Channel._put_fanout", "self, exchange, message, routing_key, **kwargs"),
        Override(f"{VIRTUAL}:Channel.basic_get", "self, queue, [no_ack], **kwargs", ("kombu.entity:Queue.get",)),
        Use(f"{REDIS}:Channel._maybe_update_queues_expire", only="kombu>=5.7"),
        Override(f"{REDIS}:Channel.get_table", "self, exchange", (f"{VIRTUAL}:Channel._lookup",)),
        Override(f"{REDIS}:Channel._purge", "self, queue", (f"{VIRTUAL}:Channel.queue_purge",)),
        Use(f"{REDIS}:Channel._get_pool"),
        Override(f"{REDIS}:Channel._restore", "self, message, [leftmost]", (f"{REDIS}:Channel._restore_at_beginning",)),
        Override(f"{REDIS}:Channel._connparams", "self, [asynchronous]", (f"{REDIS}:Channel._get_pool",)),
        Override(f"{REDIS}:Channel._brpop_start", "self, [timeout]", (f"{REDIS}:MultiChannelPoller._register_BRPOP",)),
        Override(f"{REDIS}:Channel._brpop_read", "self, **options", (f"{REDIS}:Channel.__init__",)),
        Override(f"{REDIS}:Channel._receive_one", "self, c", (f"{REDIS}:Channel._receive",)),
        Override(
            f"{REDIS}:Channel._deliver_fanout_message",
            "self, message, exchange",
            (f"{REDIS}:Channel._receive_one",),
            only="kombu>=5.7",
        ),
        # There `older_transport` delivers.
        Use(f"{REDIS}:Channel._handle_message", only="kombu<5.7"),
        Override(
            f"{REDIS}:Channel._in_listen", "", (f"{REDIS}:MultiChannelPoller._register_LISTEN",), only="kombu<5.7"
        ),
        Override(f"{REDIS}:Channel.brpop_timeout", "", (f"{REDIS}:Channel.__init__",), only="kombu>=5.6,<5.7"),
        Override(f"{REDIS}:Transport.brpop_timeout", "", only="kombu>=5.6,<5.7"),
        Use(f"{REDIS}:Channel._fanout_to_queue", only="kombu<5.7"),
        Override(f"{REDIS}:Channel.close", "self", (f"{VIRTUAL}:Transport.close_connection",)),
        # Attributes that both sides set: kombu goes by them.
        Override(f"{REDIS}:Channel._in_poll", "", (f"{REDIS}:MultiChannelPoller._register_BRPOP",)),
        Override(
            f"{REDIS}:Channel._brpop_sent_at",
            "",
            (f"{REDIS}:MultiChannelPoller.maybe_check_brpop_health",),
            only="kombu>=5.7",
        ),
        Use(f"{REDIS}:Channel._queue_cycle"),
        Use(f"{REDIS}:Channel._q_for_pri"),
        Use(f"{REDIS}:Channel.keyprefix_queue"),
        Use(f"{REDIS}:Channel.global_keyprefix"),
        Use(f"{REDIS}:Channel.conn_or_acquire"),
        Use(f"{REDIS}:Channel.pool"),
        Override(
            f"{REDIS}:MultiChannelPoller.on_poll_start",
            "self",
            (f"{REDIS}:Transport.register_with_event_loop", f"{REDIS}:MultiChannelPoller.get"),
            only="kombu>=5.7",
        ),
        Override(
            f"{REDIS}:MultiChannelPoller.on_poll_start",
            "self",
            (f"{REDIS}:Transport.register_with_event_loop",),
            only="kombu<5.7",
        ),
        Override(
            f"{REDIS}:MultiChannelPoller.get",
            "self, callback, [timeout]",
            (f"{VIRTUAL}:Transport.drain_events",),
            only="kombu<5.7",
        ),
        Override(
            f"{REDIS}:MultiChannelPoller.handle_event",
            "self, fileno, event",
            (f"{REDIS}:MultiChannelPoller.get",),
            only="kombu<5.7",
        ),
        Override(
            f"{REDIS}:MultiChannelPoller._on_connection_disconnect",
            "self, connection",
            (f"{REDIS}:Channel._on_connection_disconnect", f"{REDIS}:Transport.register_with_event_loop"),
            only="kombu<5.7",
        ),
        *(
            Override(
                f"{REDIS}:MultiChannelPoller.{name}", "", (f"{REDIS}:MultiChannelPoller._register",), only="kombu<5.7"
            )
            for name in ("_chan_to_sock", "_fd_to_chan")
        ),
        Override(
            f"{REDIS}:MultiChannelPoller.on_readable",
            "self, fileno",
            (f"{REDIS}:Transport.on_readable", f"{REDIS}:MultiChannelPoller.handle_event"),
        ),
        Override(
            f"{REDIS}:MultiChannelPoller.maybe_check_brpop_health",
            "self",
            (f"{REDIS}:MultiChannelPoller.get", f"{REDIS}:Transport.register_with_event_loop"),
            only="kombu>=5.7",
        ),
        Use(f"{REDIS}:MultiChannelPoller._channels"),
        Use(f"{REDIS}:MultiChannelPoller._fd_to_chan"),
        Override(f"{REDIS}:Transport.Channel", "", (f"{VIRTUAL}:Transport.create_channel",)),
        Override(f"{REDIS}:Transport.__init__", "self, *args, **kwargs"),
        Override(f"{REDIS}:Transport.cycle", "", (f"{REDIS}:Transport.register_with_event_loop",)),
        Override(
            f"{REDIS}:Transport.register_with_event_loop",
            "self, connection, loop",
            ("celery.worker.consumer.consumer:Consumer.connect",),
        ),
        Override(
            f"{VIRTUAL}:Transport.establish_connection", "self", ("kombu.connection:Connection._establish_connection",)
        ),
        Use(f"{VIRTUAL}:Transport._avail_channels"),
        Use(f"{VIRTUAL}:Transport._callbacks"),
        Use(f"{VIRTUAL}:Transport._deliver"),
        Use("redis:Connection._sock"),
        Use("redis:Connection.can_read", ("timeout",)),
        Use("redis:Connection.read_response", ("push_request",)),
        Use("redis:Connection.send_command"),
        Override(
            "redis.connection:AbstractConnection.send_packed_command",
            "self, command, [check_health]",
            ("redis.connection:AbstractConnection.send_command",),
        ),
        Override("kombu.compression:_decoders", "", ("kombu.compression:get_decoder",)),
        Override("kombu.serialization:_decode", "", ("kombu.serialization:SerializerRegistry.loads",)),
        Override(f"{VIRTUAL}:Channel.Message", "", (f"{VIRTUAL}:Channel.message_to_python",)),
        Use("celery.worker.request:Request.acknowledged"),
        Use("celery.worker.request:Request.message"),
        Use("celery.worker.state:task_ready"),
        Use("celery.concurrency.prefork:TaskPool._pool"),
        Use("billiard.pool:Pool._cache"),
        Use("celery.utils.time:maybe_iso8601"),
        # A retry that can't be sent is rejected: what `retries` waits for.
        Override(
            "celery.app.task:Task.retry",
            "self, [args], [kwargs], [exc], [throw], [eta], [countdown], [max_retries], **options",
        ),
        Use("celery.exceptions:Reject.reason"),
        Use("celery.worker.state:active_requests"),
        Use("celery.worker.state:should_stop"),
        Use("celery.worker.state:should_terminate"),
        Use("celery.backends.base:Backend.store_result"),
    ),
    _group(
        "limits",
        "worker",
        Override(
            "celery.worker.request:Request.__init__",
            "self, message, [on_ack], [hostname], [eventer], [app], [connection_errors], [request_dict], [task], "
            "[on_reject], [body], [headers], [decoded], [utc], [maybe_make_aware], [maybe_iso8601], **opts",
        ),
        Override("celery.app.task:Task.Request", "", ("celery.worker.strategy:default",)),
        Override(
            "celery.worker.request:Request.time_limits", "", ("celery.worker.request:Request.execute_using_pool",)
        ),
    ),
    _group(
        "database",
        "worker",
        Use("celery:Celery._fixups"),
        Use("celery.fixups.django:DjangoFixup.worker_fixup"),
        Override(
            "celery.fixups.django:DjangoWorkerFixup.db_reuse_max",
            "",
            ("celery.fixups.django:DjangoWorkerFixup.close_database",),
        ),
    ),
    _group(
        "results",
        "worker",
        Override(
            f"{BACKEND}.store_result",
            "self, task_id, result, state, [traceback], [request], **kwargs",
            (f"{BACKEND}.mark_as_done", f"{BACKEND}.mark_as_failure", f"{BACKEND}.mark_as_retry"),
        ),
        Override("celery.app.backends:by_url", "[backend], [loader]", ("celery:Celery._get_backend",)),
        Use("celery.backends.base:unpickle_backend"),
        Use(f"{RESULTS}:DatabaseBackend._store_result"),
        Use("celery.backends.base:KeyValueStoreBackend._store_result"),
        Override(f"{BACKEND}.retry_policy", "", ("celery.backends.redis:RedisBackend.ensure",)),
        Override(f"{BACKEND}.exception_safe_to_retry", "self, exc"),
        Use("celery.backends.redis:RedisBackend._chord_zset"),
        Override(
            f"{BACKEND}.on_chord_part_return",
            "self, request, state, result, **kwargs",
            (f"{BACKEND}.mark_as_done", f"{BACKEND}.mark_as_failure"),
        ),
        Override(
            f"{BACKEND}._ensure_retryable",
            "self, func, *args, [fallback_exc], [fallback_msg], [max_retries], **kwargs",
            (f"{BACKEND}.store_result", f"{BACKEND}.get_task_meta"),
            only="celery>=5.7",
        ),
        # There `older_results` has that method, and these call it.
        *(
            Override(f"{BACKEND}.{name}", parameters, only="celery<5.7")
            for name, parameters in (
                (
                    "mark_as_failure",
                    "self, task_id, exc, [traceback], [request], [store_result], [call_errbacks], [state]",
                ),
                ("get_task_meta", "self, task_id, [cache]"),
                ("get_group_meta", "self, group_id, [cache]"),
                ("save_group", "self, group_id, result"),
                ("delete_group", "self, group_id"),
            )
        ),
        Override(
            f"{RESULTS}:DatabaseBackend.on_chord_part_return",
            "self, request, state, result, **kwargs",
            (f"{BACKEND}.mark_as_done", f"{BACKEND}.mark_as_failure"),
        ),
        Override(
            f"{BACKEND}._fail_chain",
            "self, chain, exc, [traceback], [store_result], [state]",
            (f"{BACKEND}.mark_as_failure",),
            only="celery>=5.7",
        ),
        Override(
            "celery.worker.request:Request._success_was_stored",
            "self",
            ("celery.worker.request:Request.on_failure",),
            only="celery>=5.7",
        ),
        Use("django_celery_results.backends:DatabaseBackend._get_task_meta_for"),
        Use("celery.worker.request:Request._context"),
        Use("django_celery_results.models:ChordCounter.group_result", ("app",)),
        Use("django_celery_results.models:ChordCounter.count"),
        Use(f"{BACKEND}.chord_error_from_stack", ("callback", "exc")),
        Use(f"{BACKEND}.exception_to_python"),
        Use(f"{RESULTS}:DatabaseBackend.decode_content"),
        Use(f"{BACKEND}._sleep"),
        Use(f"{BACKEND}.encode_result"),
        Use(f"{RESULTS}:DatabaseBackend.TaskModel"),
        Use("celery._state:get_current_task"),
    ),
    _group(
        "signing",
        "worker",
        Override(
            "celery.security.serialization:SecureSerializer._unpack",
            "self, payload, [sep]",
            ("celery.security.serialization:SecureSerializer.deserialize",),
        ),
        Override("celery.security.serialization:SecureSerializer.deserialize", "self, data"),
        Use("celery.security.serialization:SecureSerializer.__init__", ("serializer",)),
    ),
    _group(
        "beat watchdog",
        "beat",
        Override(
            "celery.beat:Service.get_scheduler",
            "self, [lazy], [extension_namespace]",
            ("celery.beat:Service.scheduler",),
        ),
        Override(
            f"{BEAT}.__init__",
            "self, app, [schedule], [max_interval], [Producer], [lazy], [sync_every_tasks], **kwargs",
        ),
        Override(f"{BEAT}.tick", "self, [event_t], [min], [heappop], [heappush]", ("celery.beat:Service.start",)),
        Override(f"{BEAT}._ensure_connected", "self", (f"{BEAT}.producer",)),
        Override(f"{BEAT}.max_interval", "", (f"{BEAT}.tick",)),
    ),
    _group(
        "beat",
        "beat",
        Override(f"{BEAT}.setup_schedule", "self", (f"{BEAT}.__init__",)),
        Override(f"{BEAT}.reserve", "self, entry", (f"{BEAT}.tick",)),
        Override(f"{BEAT}.sync", "self", (f"{BEAT}._do_sync",)),
        Override(f"{BEAT}.apply_async", "self, entry, [producer], [advance], **kwargs", (f"{BEAT}.apply_entry",)),
        Override(f"{BEAT}._heap", "", (f"{BEAT}.tick",)),
        Override(f"{BEAT}.old_schedulers", "", (f"{BEAT}.tick",)),
        Override(f"{BEAT}.connection", "self", (f"{BEAT}._ensure_connected",)),
        Override(f"{BEAT}.producer", "self", (f"{BEAT}.tick",)),
        Use(f"{BEAT}._do_sync"),
        Use("celery.beat:PersistentScheduler._store"),
        Override(f"{SCHEDULER}.setup_schedule", "self", (f"{BEAT}.__init__",)),
        Override(f"{SCHEDULER}.update_from_dict", "self, mapping", (f"{SCHEDULER}.setup_schedule",)),
        Override(f"{SCHEDULER}.all_as_schedule", "self", (f"{SCHEDULER}.schedule",)),
        Override(f"{SCHEDULER}.reserve", "self, entry", (f"{BEAT}.tick",)),
        Override(f"{SCHEDULER}.sync", "self", (f"{BEAT}._do_sync",)),
        Use(f"{SCHEDULER}._do_sync"),
        Use(f"{SCHEDULER}._dirty"),
        Override(f"{SCHEDULER}._schedule", "", (f"{SCHEDULER}.schedule",)),
        Override(f"{SCHEDULER}._heap_invalidated", "", (f"{SCHEDULER}.schedules_equal",)),
        Override(f"{SCHEDULER}._initial_read", "", (f"{SCHEDULER}.schedule",)),
        Override(f"{SCHEDULER}._last_full_sync", "", (f"{SCHEDULER}.schedule",)),
        Use("django_celery_beat.schedulers:ModelEntry.from_entry"),
        Use("django_celery_beat.schedulers:ModelEntry.save"),
    ),
)
