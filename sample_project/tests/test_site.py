"""The other pages: landing, health, admin."""

import pytest
from accounts.models import User, WelcomeEmail
from digests.models import DigestEmail
from django.db import OperationalError
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult


def test_landing_counts_users(client, db):
    User.objects.create_user("ada@example.com")
    page = client.get("/")
    assert page.status_code == 200
    assert "1 person has registered" in page.text
    assert 'href="/register/"' in page.text


def test_healthz_ok(client, db):
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert "no-store" in response["Cache-Control"]


def test_healthz_without_the_database(client, monkeypatch, caplog):
    def refuse(*_):
        raise OperationalError("could not connect to db.internal as ann")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", refuse)
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (503, {"status": "unavailable"})
    assert "db.internal" not in response.text
    assert "db.internal" in caplog.text


@pytest.fixture
def row(db):
    user = User.objects.create_user("ada@example.com", name="Ada")
    return WelcomeEmail.objects.create(user=user, status="failed", attempts=4)


@pytest.mark.parametrize("model", [User, WelcomeEmail, DigestEmail, TaskResult, PeriodicTask])
def test_admin_lists(admin_client, row, model):
    page = admin_client.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
    assert page.status_code == 200


@pytest.mark.parametrize("page", ["/admin/accounts/user/add/", "/admin/accounts/user/{}/change/"])
def test_admin_edits_users(admin_client, row, page):
    assert admin_client.get(page.format(row.user_id)).status_code == 200


def test_admin_adds_a_user(admin_client, db):
    data = {"email": "eve@example.com", "name": "Eve", "usable_password": "false"}
    assert admin_client.post("/admin/accounts/user/add/", data).status_code == 302
    assert not User.objects.get(email="eve@example.com").has_usable_password()


GARBAGE = ["?date_joined__gte=yesterday", "?email=%00", "?e%00=1", "%00/change/", "?id__in=1,x", "?o=x&p=y"]


@pytest.mark.parametrize("query", GARBAGE)
def test_admin_survives_garbage_in_an_address(admin_client, row, query):
    assert admin_client.get(f"/admin/accounts/user/{query}").status_code in {200, 302, 400}


@pytest.mark.parametrize("number", ["x", "1) OR (1=1", "\0", "9" * 40])
def test_admin_survives_garbage_in_an_action(admin_client, row, number, caplog):
    action = {"action": "delete_selected", "_selected_action": [number], "post": "yes"}
    response = admin_client.post("/admin/accounts/user/", action)
    assert response.status_code in {302, 400}
    assert WelcomeEmail.objects.count() == 1
    # Who looks for a fault of ours finds its traceback.
    assert response.status_code == 302 or "Error: " in caplog.text


def test_a_fault_outside_the_admin_is_no_bad_request(client, db, monkeypatch):
    def fail(*_, **__):
        raise ValueError("ours")

    monkeypatch.setattr("sample.views.render", fail)
    client.raise_request_exception = False
    assert client.get("/").status_code == 500


def test_login_without_a_target_leads_to_the_admin(client, row):
    row.user.set_password("something long")
    row.user.is_staff = True
    row.user.save()
    data = {"username": "ada@example.com", "password": "something long", "next": "//evil.example/"}
    response = client.post("/admin/login/", data)
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_admin_sends_a_failed_mail_again(admin_client, row, broker, django_capture_on_commit_callbacks):
    action = {"action": "send_again", "_selected_action": [row.pk]}
    with django_capture_on_commit_callbacks(execute=True):
        assert admin_client.post("/admin/accounts/welcomeemail/", action).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("pending", 0)
    assert broker.client.llen("high") == 1
    assert admin_client.get("/admin/accounts/welcomeemail/add/").status_code == 403
