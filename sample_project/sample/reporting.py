"""Sentry, where a DSN is given."""

import sentry_sdk


def start_sentry(dsn: str, environment: str) -> None:
    """Report errors of Django and Celery, whose integrations switch themselves on; nothing without a DSN."""
    if not dsn:
        return
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        # People's addresses are in requests and in local variables: neither leaves the host.
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
    )
