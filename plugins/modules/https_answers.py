"""Ask a web server for some pages as a client would that meets it under one of its names."""

from __future__ import annotations

DOCUMENTATION = r"""
module: https_answers
short_description: Ask a web server for some pages, whatever the network says of its names
description:
  - Connects to an address, and speaks TLS and HTTP to it under another name, whose certificate is verified. So it asks this host, where a name
    may lead to a load balancer or nowhere yet; M(ansible.builtin.uri) can't keep the two apart.
  - Changes nothing, and follows no redirect but those of O(entrance).
options:
  address: {description: Where to connect to., type: str, default: 127.0.0.1}
  port: {description: TCP port (a number)., type: int, default: 443}
  ca_file: {description: "File of certificates to trust, beside those that the host trusts.", type: str, default: ""}
  pages:
    description: What to ask for.
    type: list
    elements: dict
    required: true
    suboptions:
      host: {description: Name or address under which to ask., type: str, required: true}
      path: {description: Path to ask for., type: str, required: true}
      status: {description: Statuses that are right., type: list, elements: int, required: true}
  entrance:
    description:
      - A page at which to look for what its own Content-Security-Policy forbids. Redirects on the same host are followed.
      - It is no fault if there is none. A policy of nonces or hashes is left alone.
    type: dict
    suboptions:
      host: {description: Name or address under which to ask., type: str, required: true}
      path: {description: Path to ask for., type: str, required: true}
  timeout: {description: Seconds in which a right answer must come; what has just started is asked again., type: int, default: 30}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Ask the site
  plainhost.stack.https_answers:
    ca_file: /etc/shop/tls/ca.pem
    pages:
      - {host: www.example.com, path: /, status: [200]}
"""

RETURN = r"""
answers:
  description: The status of each page.
  returned: success
  type: list
  elements: int
forbidden:
  description: What the page at O(entrance) needs and its policy forbids, each as a directive and what it would have to allow.
  returned: success
  type: list
  elements: str
"""

import http.client
import re
import socket
import ssl
import time
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from ansible.module_utils.basic import AnsibleModule

# Seconds for one answer, and between two attempts.
ONE_ANSWER = 10
PAUSE = 1
# Of a page that is looked at: redirects to follow, and bytes to read.
REDIRECTS = 3
READ = 2**20
INLINE = "'unsafe-inline'"
# Policies that allow by what is in the page, of which too little is known here.
FINE = re.compile(r"'(nonce-|strict-dynamic|sha\d+-)")


class Client(http.client.HTTPSConnection):
    """A connection to an address, under another name."""

    def __init__(self, name: str, address: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(name, port, timeout=ONE_ANSWER, context=context)
        self.address, self.tls = address, context

    def connect(self) -> None:
        """Connect to the address; the certificate must be for the name."""
        plain = socket.create_connection((self.address, self.port), ONE_ANSWER)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


class Needs(HTMLParser):
    """What a page has a browser load: directives of a policy, each with a URL, or with `'unsafe-inline'` for a script in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads."""
        has = {name: value or "" for name, value in attrs}
        if tag == "script" and "src" in has:
            self.found.append(("script-src", has["src"]))
        elif tag == "script" and has.get("type", "text/javascript") in ("text/javascript", "module"):
            self.found.append(("script-src", INLINE))
        elif tag == "link" and "stylesheet" in has.get("rel", "").lower().split():
            self.found.append(("style-src", has.get("href", "")))
        elif tag == "img":
            self.found.append(("img-src", has.get("src", "")))


def forbids(policy: str, directive: str, url: str, page: str) -> str:
    """Return what a policy would have to allow for a page to load this; empty when it does."""
    rules = {words[0].lower(): words[1:] for part in policy.split(";") if (words := part.split())}
    if directive not in rules and "default-src" not in rules:
        return ""
    allowed = rules.get(directive, rules.get("default-src", []))
    if url == INLINE:
        return "" if INLINE in allowed else INLINE
    target = urlsplit(urljoin(page, url))
    if target.netloc == urlsplit(page).netloc or target.scheme not in ("http", "https"):
        return ""
    origin = f"{target.scheme}://{target.netloc}"
    # Without their paths: a hint need not be exact.
    sources = {"/".join(one.split("/")[:3]) if "://" in one else one.split("/")[0] for one in allowed}
    if f"{target.scheme}:" in sources or any(
        fnmatchcase(name, one) for name in (origin, target.netloc) for one in sources
    ):
        return ""
    return origin


def fetch(host: str, path: str, connect: tuple[str, int, ssl.SSLContext]) -> tuple[int, http.client.HTTPMessage, str]:
    """Return the status, the headers and the beginning of the text of a page."""
    client = Client(host, *connect)
    try:
        client.request("GET", path, headers={"Host": host})
        answer = client.getresponse()
        return answer.status, answer.headers, answer.read(READ).decode(errors="replace")
    finally:
        client.close()


def forbidden(entrance: dict[str, str], connect: tuple[str, int, ssl.SSLContext]) -> list[str]:
    """Return what the page at an entrance needs and its policy forbids."""
    url = f"https://{entrance['host']}{entrance['path']}"
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.netloc != entrance["host"]:
            return []
        _status, headers, text = fetch(entrance["host"], f"{parts.path or '/'}?{parts.query}".rstrip("?"), connect)
        if "Location" not in headers:
            break
        url = urljoin(url, headers["Location"])
    policy = headers.get("Content-Security-Policy", "")
    if headers.get_content_type() != "text/html" or FINE.search(policy):
        return []
    needs = Needs()
    needs.feed(text)
    found = ((directive, forbids(policy, directive, one, url)) for directive, one in needs.found)
    return sorted({f"{directive} {lacks}" for directive, lacks in found if lacks})


def main() -> None:
    """Run the module."""
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 443},
            "ca_file": {"type": "str", "default": ""},
            "pages": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "host": text,
                    "path": text,
                    "status": {"type": "list", "elements": "int", "required": True},
                },
            },
            "entrance": {"type": "dict", "options": {"host": text, "path": text}},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        context = ssl.create_default_context()
        if params["ca_file"]:
            context.load_verify_locations(params["ca_file"])
    except OSError as error:
        module.fail_json(msg=f"ca_file {params['ca_file']}: {error}")
    connect = (params["address"], params["port"], context)
    deadline = time.monotonic() + params["timeout"]
    answers = []
    for page in params["pages"]:
        while True:
            try:
                said: Any = fetch(page["host"], page["path"], connect)[0]
            except (OSError, http.client.HTTPException) as error:
                said = f"{type(error).__name__}: {error}"
            if said in page["status"]:
                answers.append(said)
                break
            if time.monotonic() > deadline:
                module.fail_json(
                    msg=f"https://{page['host']}{page['path']} at {params['address']}:{params['port']}: {said}; "
                    f"right would be {' or '.join(map(str, page['status']))}"
                )
            time.sleep(PAUSE)
    needed = []
    if params["entrance"]:
        try:
            needed = forbidden(params["entrance"], connect)
        except (OSError, http.client.HTTPException, ValueError):
            # A hint, and no more: whether the site answers was found out above.
            module.debug("the entrance gave no answer")
    module.exit_json(changed=False, answers=answers, forbidden=needed)


if __name__ == "__main__":
    main()
