"""Runs as root on a host: what Flower says on loopback, with its login and without. Prints JSON; the login doesn't leave the host."""

import base64
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

login = re.search(r'basic_auth = \["([^"]+)"\]', Path("/etc/sample/flower.conf").read_text())[1]
right = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def ask(path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Return status and text."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:5555{path}", headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


seen = {
    "without a login": ask("/flower/metrics", {})[0],
    "with it": ask("/flower/metrics", right)[1],
    "health": ask("/flower/healthcheck", {})[0],
    "pages": ask("/flower/", {})[0],
}
print(json.dumps(seen))
