"""The description of the site says what the site does."""

import json
from typing import Any

import pytest
from accounts.models import User
from django.urls import Resolver404, resolve
from sample.urls import urlpatterns

PERSON = {"email": "ada@example.com", "name": "Ada"}


@pytest.fixture
def described(client) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    return response.json()


def schema_of(described: dict[str, Any], name: str) -> dict[str, Any]:
    return described["components"]["schemas"][name]


def test_each_page_is_described_and_each_description_has_a_page(described):
    pages = {f"/{pattern.pattern}" for pattern in urlpatterns} - {"/admin/"}
    assert set(described["paths"]) == pages
    for path in described["paths"]:
        try:
            resolve(path)
        except Resolver404:
            pytest.fail(f"{path} is described and not there")


def test_each_reference_leads_somewhere(described):
    text = json.dumps(described)
    for part in text.split('"$ref": "#/')[1:]:
        target: Any = described
        for step in part.split('"')[0].split("/"):
            target = target[step]


def test_lengths_are_the_models(described):
    person = schema_of(described, "Person")
    assert set(person["required"]) == set(person["properties"]) == {"email", "name"}
    for name, rules in person["properties"].items():
        assert rules["maxLength"] == User._meta.get_field(name).max_length


@pytest.mark.parametrize(
    ("path", "method", "body", "kind", "status", "schema"),
    [
        ("/", "get", None, "", 200, ""),
        ("/register/", "get", None, "", 200, ""),
        ("/register/done/", "get", None, "", 200, ""),
        ("/healthz", "get", None, "", 200, "Health"),
        ("/register/", "post", PERSON, "application/json", 201, "Registered"),
        ("/register/", "post", {}, "application/json", 400, "Refused"),
        ("/register/", "post", {"email": 5, "name": "a\n"}, "application/json", 400, "Refused"),
        ("/register/", "post", PERSON, "", 302, ""),
        ("/register/", "post", {}, "", 400, ""),
        ("/register/", "post", "x", "text/plain; charset=utf-7", 400, ""),
    ],
)
def test_answers_are_as_described(client, db, described, path, method, body, kind, status, schema):
    response = (
        client.generic(method, path)
        if body is None
        else client.post(path, body, **({"content_type": kind} if kind else {}))
    )
    assert response.status_code == status
    said = described["paths"][path][method]["responses"][str(status)]
    if "$ref" in said:
        said = described["components"]["responses"][said["$ref"].rpartition("/")[2]]
    for header in said.get("headers", {}):
        assert header in response
    if content := said.get("content"):
        assert response["Content-Type"].partition(";")[0] in content
    if schema:
        assert set(response.json()) == set(schema_of(described, schema)["required"])
        assert content["application/json"]["schema"]["$ref"].endswith(schema)


@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_no_page_answers_a_method_that_is_not_described(client, db, described, method):
    for path in described["paths"]:
        assert client.generic(method.upper(), path).status_code == 405, path
