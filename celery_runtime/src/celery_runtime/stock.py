"""The classes of kombu's transport that the runtime derives from, alike in each version that it knows.

Where an older version lacks what the newest one has, a module `older_…` adds it. Nothing else asks for versions.
"""

from __future__ import annotations

from .versions import holds

if holds("kombu<5.7"):
    from .older_transport import Channel, MultiChannelPoller, Transport
else:
    from kombu.transport.redis import Channel, MultiChannelPoller, Transport  # type: ignore[no-redef]

__all__ = ["Channel", "MultiChannelPoller", "Transport"]
