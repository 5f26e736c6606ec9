"""The site takes a registration at once, and the mail follows."""

import json
import shlex

import pytest
import stack

RESULT = (
    "select status || ' ' || result from django_celery_results_taskresult"
    " where task_name = 'accounts.send_welcome_email' and task_kwargs like '%''user_id'': {user}%'"
)


def test_the_health_page_answers(http):
    status, body, _ = http("GET", "/healthz")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_registering_answers_and_the_mail_arrives(host, http, somebody, mail_to):
    status, body, _ = http("POST", "/register/", somebody)
    assert status == 201, body
    mail = mail_to(somebody["email"])
    assert mail["to"] == somebody["email"]
    assert mail["from"] == "sample@example.com"
    query = RESULT.format(user=json.loads(body)["id"])
    command = f"runuser -u postgres -- psql -d sample -tAc {shlex.quote(query)}"
    stack.wait_for(lambda: host.check_output(command).startswith('SUCCESS {"sent": true'), "the result")


def test_the_request_does_not_wait_for_the_workers(host, http, somebody, mail_to):
    host.check_output("systemctl stop celery-worker@high.service")
    try:
        # The answer is here while nobody could have sent the mail.
        assert http("POST", "/register/", somebody)[0] == 201
    finally:
        host.check_output("systemctl start celery-worker@high.service")
    assert mail_to(somebody["email"])


@pytest.mark.parametrize("email", ["nobody", "", "two@example.com, three@example.com"])
def test_a_bad_address_gets_a_clear_400(http, email):
    status, body, _ = http("POST", "/register/", {"email": email, "name": "Ada"})
    assert status == 400
    assert "email" in json.loads(body)["errors"]


def test_a_duplicate_address_gets_a_clear_400(http, somebody):
    assert http("POST", "/register/", somebody)[0] == 201
    status, body, _ = http("POST", "/register/", somebody)
    assert status == 400
    assert "Already registered" in body


def test_static_files_are_served(http):
    _, page, _ = http("GET", "/register/")
    path = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert http("GET", path)[0] == 200
