"""A property-based fuzzer against the deployed site, by the site's own OpenAPI description.

It goes the whole way, through the front: an answer of nginx that the description doesn't know is a finding as well. So that it
meets the application and not the front's limits, the scenario raises those by variable; the scenario `default` tests them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from web import Site, somebody

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
# Left out: unsupported_method. nginx refuses TRACE itself (405) and names no others, which harms nobody; test_web_protocol.py tries methods.

# The same in every run, so that CI finds the same; FUZZ_SEED tries another. A bound of time instead of examples would depend on the machine.
SEED = os.environ.get("FUZZ_SEED", "20261122")
EXAMPLES = 200
SECONDS = 60


@pytest.fixture(scope="module")
def site(site: Any) -> Site:
    """Return the site itself, in place of its host."""
    return Site.of(site)


@pytest.fixture(scope="module")
def answers(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Counter[tuple[str, int]]:
    """Fuzz; return how often each operation gave each status."""
    folder = tmp_path_factory.mktemp("fuzz")
    # The example that the description gives must be somebody new each time.
    description = json.loads(site.get("/openapi.json").body)
    bodies = description["paths"]["/register/"]["post"]["requestBody"]["content"]
    for kind in bodies.values():
        kind["examples"] = {"new": {"value": {"email": somebody(), "name": "Ada"}}}
    (folder / "openapi.json").write_text(json.dumps(description))
    token = "a" * 32
    trust = []
    if site.authority:
        (folder / "ca.pem").write_text(site.authority)
        trust = [f"--tls-verify={folder / 'ca.pem'}"]
    # A form needs a token to reach anything; whoever owns the cookie may choose it.
    headers = {"X-CSRFToken": token, "Cookie": f"csrftoken={token}", "Origin": site.origin}
    run = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            str(folder / "openapi.json"),
            f"--url={site.origin}",
            f"--checks={','.join(CHECKS)}",
            "--phases=examples,coverage,fuzzing",
            f"--max-examples={EXAMPLES}",
            f"--seed={SEED}",
            "--generation-database=none",
            "--continue-on-failure",
            "--no-color",
            "--report=har",
            f"--report-har-path={folder / 'report.har'}",
            *trust,
            *[word for name, value in headers.items() for word in ("-H", f"{name}: {value}")],
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, f"seed {SEED}; the same again: FUZZ_SEED={SEED}\n{run.stdout}{run.stderr}"
    counted: Counter[tuple[str, int]] = Counter()
    for entry in json.loads((folder / "report.har").read_text())["log"]["entries"]:
        asked = entry["request"]
        kind = (asked.get("postData") or {}).get("mimeType", "")
        counted[
            f"{asked['method']} {asked['url'].removeprefix(site.origin)} {kind}".strip(), entry["response"]["status"]
        ] += 1
    return counted


def test_the_site_answers_whatever_is_sent_as_it_says(answers: Counter[tuple[str, int]]) -> None:
    assert not [key for key in answers if key[1] >= 500]


@pytest.mark.parametrize(
    ("operation", "status", "times"),
    [
        ("POST /register/ application/json", 201, 1),
        ("POST /register/ application/json", 400, 30),
        ("POST /register/ application/x-www-form-urlencoded", 302, 1),
        ("POST /register/ application/x-www-form-urlencoded", 400, 10),
        ("GET /healthz", 200, 1),
    ],
)
def test_the_fuzzer_met_the_application(
    answers: Counter[tuple[str, int]], operation: str, status: int, times: int
) -> None:
    """Refusals of the front, or of a missing token, would let the test above pass with nothing tried."""
    assert answers[operation, status] >= times, answers
