"""The gate: whoever is at it hears what any other there says, whichever process each of them is connected to."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer


class Gate(AsyncWebsocketConsumer):
    """A WebSocket at the gate."""

    groups = ["gate"]  # noqa: RUF012 (as Channels has it)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:  # noqa: ARG002 (they are text)
        """Pass on what was said."""
        await self.channel_layer.group_send("gate", {"type": "said", "text": text_data})

    async def said(self, event: dict[str, Any]) -> None:
        """Hear it."""
        await self.send(text_data=event["text"])
