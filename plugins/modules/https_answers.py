"""Ask a web server for some pages as a client would that meets it under one of its names."""

from __future__ import annotations

DOCUMENTATION = r"""
module: https_answers
short_description: Ask a web server for some pages, whatever the network says of its names
description:
  - Connects to an address, and speaks TLS and HTTP to it under another name, whose certificate is verified. So it asks this host, where a name
    may lead to a load balancer or nowhere yet; M(ansible.builtin.uri) can't keep the two apart.
  - Changes nothing, and follows no redirect.
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
  patience: {description: Seconds in which a right answer must come; what has just started is asked again., type: int, default: 30}
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
"""

import http.client
import socket
import ssl
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# Seconds for one answer, and between two attempts.
ONE_ANSWER = 10
PAUSE = 1


class Client(http.client.HTTPSConnection):
    """A connection to an address, under another name."""

    def __init__(self, name: str, address: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(name, port, timeout=ONE_ANSWER, context=context)
        self.address, self.tls = address, context

    def connect(self) -> None:
        """Connect to the address; the certificate must be for the name."""
        plain = socket.create_connection((self.address, self.port), ONE_ANSWER)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


def ask(page: dict[str, Any], address: str, port: int, context: ssl.SSLContext) -> int:
    """Return the status with which a page is answered."""
    client = Client(page["host"], address, port, context)
    try:
        client.request("GET", page["path"], headers={"Host": page["host"]})
        return client.getresponse().status
    finally:
        client.close()


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
            "patience": {"type": "int", "default": 30},
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
    deadline = time.monotonic() + params["patience"]
    answers = []
    for page in params["pages"]:
        while True:
            try:
                said: Any = ask(page, params["address"], params["port"], context)
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
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
