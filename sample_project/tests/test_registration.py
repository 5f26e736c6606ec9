"""Registration by form and by JSON, good input and bad."""

import json
import threading
import time

import pytest
from accounts.models import User, WelcomeEmail
from accounts.tasks import send_pending_welcome_emails
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

GOOD = [
    {"email": "ada@example.com", "name": "Ada"},
    {"email": "ada+tag@EXAMPLE.com", "name": "Ada Lovelace, Countess"},
    {"email": "ada@bücher.example", "name": "आदा 👩‍💻"},
]
BAD = [
    ({"email": "", "name": "Ada"}, {"email"}),
    ({"email": "ada", "name": "Ada"}, {"email"}),
    ({"email": "ada@example.com\nBcc: eve@example.com", "name": "Ada"}, {"email"}),
    ({"email": "a" * 250 + "@example.com", "name": "Ada"}, {"email"}),
    ({"email": "ada@example.com", "name": ""}, {"name"}),
    ({"email": "ada@example.com", "name": "   "}, {"name"}),
    ({"email": "ada@example.com", "name": "A" * 101}, {"name"}),
    ({"email": "ada@example.com", "name": "Ada\r\nBcc: eve@example.com"}, {"name"}),
    ({"email": "ada@example.com", "name": "Ada\x00"}, {"name"}),
    # Turns round what is read after it: one sees another address, or another file name, than there is.
    ({"email": "ada@example.com", "name": "Ada \u202egnp.exe"}, {"name"}),
    ({"email": "ada@example.com\u202emoc.live", "name": "Ada"}, {"email"}),
    ({}, {"email", "name"}),
]
BAD_JSON = [
    (b" ", {"body"}),
    (b"{", {"body"}),
    (b"\xff", {"body"}),
    (b"[1]", {"body"}),
    (b"null", {"body"}),
    (b"[" * 100_000, {"body"}),
    (b'{"email": 5, "name": "Ada"}', {"email"}),
    (b'{"email": "ada@example.com", "name": 5}', {"name"}),
    (b'{"email": ["ada@example.com"], "name": {}}', {"email", "name"}),
    (b'{"email": "ada@example.com", "name": "\\ud800"}', {"name"}),
    (b'{"email": "ada@\\ud800.com", "name": "Ada"}', {"email"}),
    (b'{"email": "ada@example.com", "name": "Ada", "email": null}', {"email"}),
]


def post_json(client, data):
    body = data if isinstance(data, bytes) else json.dumps(data)
    return client.post("/register/", body, content_type="application/json")


@pytest.mark.parametrize("data", GOOD)
def test_json_registers(client, db, data):
    response = post_json(client, data)
    assert response.status_code == 201
    user = User.objects.get()
    assert response.json() == {
        "id": user.pk,
        "email": user.email,
        "detail": "Registered. A welcome e-mail is on its way.",
    }
    assert user.name == data["name"]
    assert not user.has_usable_password()
    assert user.welcome_email.status == "pending"


@pytest.mark.parametrize("data", GOOD)
def test_form_registers_and_redirects(client, db, data):
    response = client.post("/register/", data)
    assert (response.status_code, response["Location"]) == (302, "/register/done/")
    assert "welcome e-mail" in client.get(response["Location"]).text
    assert User.objects.get().welcome_email.status == "pending"


@pytest.mark.parametrize(("data", "fields"), BAD)
def test_bad_input_is_refused_by_field(client, db, data, fields):
    response = post_json(client, data)
    assert response.status_code == 400
    assert set(response.json()["errors"]) == fields
    assert response.json()["detail"]
    form = client.post("/register/", data)
    assert form.status_code == 400
    assert set(form.context["form"].errors) == fields
    assert form.text.count('aria-invalid="true"') == len(fields)
    assert not User.objects.exists()


@pytest.mark.parametrize(("body", "fields"), BAD_JSON)
def test_bad_json_is_refused_in_the_same_shape(client, db, body, fields):
    response = post_json(client, body)
    assert response.status_code == 400
    assert set(response.json()) == {"detail", "errors"}
    assert set(response.json()["errors"]) == fields
    assert not User.objects.exists()


@pytest.mark.parametrize("again", ["ada@example.com", "ADA@EXAMPLE.COM"])
def test_duplicate_is_refused_whatever_its_case(client, db, again):
    assert post_json(client, GOOD[0]).status_code == 201
    response = post_json(client, {"email": again, "name": "Eve"})
    assert response.status_code == 400
    assert response.json()["errors"] == {"email": ["Already registered."]}
    form = client.post("/register/", {"email": again, "name": "Eve"})
    assert form.status_code == 400
    assert form.context["form"].errors == {"email": ["Already registered."]}
    assert User.objects.count() == WelcomeEmail.objects.count() == 1


def test_duplicate_holds_where_requests_race(transactional_db):
    start = threading.Barrier(6)
    answers = []

    def register(number: int) -> None:
        client = Client()
        start.wait()
        email = "ada@example.com" if number % 2 else "ADA@example.com"
        answers.append(post_json(client, {"email": email, "name": "Ada"}))
        connection.close()

    threads = [threading.Thread(target=register, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [201] + 5 * [400]
    assert User.objects.count() == WelcomeEmail.objects.count() == 1


def test_duplicate_that_passed_the_forms_check_is_refused_by_the_database(client, db, monkeypatch):
    assert post_json(client, GOOD[0]).status_code == 201
    monkeypatch.setattr("accounts.forms.RegistrationForm.clean_email", lambda self: self.cleaned_data["email"])
    monkeypatch.setattr("django.db.models.Model.full_clean", lambda *_, **__: None)
    for response in (post_json(client, {"email": "ADA@example.com", "name": "Eve"}),):
        assert response.status_code == 400
        assert response.json()["errors"] == {"email": ["Already registered."]}
    form = client.post("/register/", {"email": "Ada@example.com", "name": "Eve"})
    assert form.status_code == 400
    assert form.context["form"].errors == {"email": ["Already registered."]}


@pytest.mark.parametrize("charset", ["base64", "utf-7", "latin-1", "utf8", "nowhere"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"])
def test_another_charset_than_utf8_is_refused(client, db, kind, charset):
    # Not `post`, which would itself try to encode the body so.
    response = client.generic("POST", "/register/", b"email=a", content_type=f"{kind}; charset={charset}")
    assert response.status_code == 400
    assert not User.objects.exists()


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_utf8_may_be_called_by_its_name(client, db, charset):
    body = "email=ada%40example.com&name=Ad%C3%A1"
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    assert client.post("/register/", body, content_type=kind).status_code == 302
    assert User.objects.get().name == "Adá"


def test_form_needs_its_token_and_json_does_not(db):
    client = Client(enforce_csrf_checks=True)
    assert client.post("/register/", GOOD[0]).status_code == 403
    as_text = client.post("/register/", json.dumps(GOOD[0]), content_type="text/plain")
    assert as_text.status_code == 403
    assert not User.objects.exists()
    page = client.get("/register/")
    token = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    assert page.status_code == 200
    assert client.post("/register/", GOOD[0] | token).status_code == 302
    response = post_json(Client(enforce_csrf_checks=True), {"email": "eve@example.com", "name": "Eve"})
    assert response.status_code == 201
    assert not response.cookies


def test_other_methods_are_refused(client, db):
    assert client.put("/register/").status_code == 405


@pytest.mark.usefixtures("db")
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    email=st.one_of(
        st.text(max_size=60),
        st.emails(),
        st.builds("{}@{}".format, st.text(max_size=20), st.text(max_size=20)),
    ),
    name=st.text(max_size=110),
)
def test_no_text_makes_the_server_fail(email, name):
    client = Client()
    response = post_json(client, {"email": email, "name": name})
    assert response.status_code in (201, 400)
    if response.status_code == 400:
        assert set(response.json()["errors"]) <= {"email", "name"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.usefixtures("db")
@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(json_values, st.fixed_dictionaries({"email": json_values, "name": json_values})))
def test_no_json_makes_the_server_fail(data):
    response = post_json(Client(), data)
    assert response.status_code in (201, 400)


def test_registering_without_redis_is_quick_and_loses_nothing(client, transactional_db, caplog, broker):
    from tests.conftest import free_port, use_broker

    use_broker(f"redis://127.0.0.1:{free_port()}/0")
    began = time.monotonic()
    response = post_json(client, GOOD[0])
    assert time.monotonic() - began < 1
    assert response.status_code == 201
    assert WelcomeEmail.objects.get().status == "pending"
    assert "accounts.send_welcome_email was not published" in caplog.text

    # Not yet: the process that wrote the row may be publishing it just now.
    use_broker(broker.url)
    assert send_pending_welcome_emails() == {"published": 0}
    WelcomeEmail.objects.update(due_at=timezone.now())
    assert send_pending_welcome_emails() == {"published": 1}
    assert broker.client.llen("high") == 1
    assert send_pending_welcome_emails() == {"published": 0}


def test_registering_with_a_full_redis_loses_nothing(client, transactional_db, caplog, broker):
    broker.client.config_set("maxmemory", 1)
    response = post_json(client, GOOD[0])
    assert response.status_code == 201
    assert WelcomeEmail.objects.get().status == "pending"
    assert "was not published" in caplog.text
    assert broker.client.llen("high") == 0


def test_the_sweep_stops_where_the_broker_is_away(transactional_db, caplog):
    for number in range(5):
        user = User.objects.create_user(f"u{number}@example.com")
        WelcomeEmail.objects.create(user=user, due_at=timezone.now())
    assert send_pending_welcome_emails() == {"published": 0}
    assert caplog.text.count("was not published") == 1
