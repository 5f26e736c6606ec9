"""Which certificates are replaced, and which requests and certificates of others are refused."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from typing import Any

import certificates as rules
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

WANTED = [{"name": "redis", "subjects": ["192.0.2.11", "redis1"]}]
KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def alternatives(subjects: list[str]) -> x509.SubjectAlternativeName:
    plain = [name.partition(":")[2] for name in subjects]
    return x509.SubjectAlternativeName(
        [
            x509.IPAddress(ipaddress.ip_address(name)) if one.startswith("IP:") else x509.DNSName(name)
            for one, name in zip(subjects, plain, strict=True)
        ]
    )


class Authority:
    """An authority, and what it signs."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.pem = self._signed(named("authority"), self.key, [], 3650)

    def _signed(self, subject: x509.Name, key: Any, subjects: list[str], days: float) -> str:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=400))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        if subjects:
            builder = builder.add_extension(alternatives(subjects), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def issue(self, subjects: list[str], days: float = 300) -> str:
        return self._signed(named("host"), KEY, subjects, days)


OURS, THEIRS = Authority(), Authority()
RIGHT = ["IP:192.0.2.11", "DNS:redis1"]


def look(certificate: str, fits: str = "yes") -> list[str]:
    return [f"redis {fits} {base64.b64encode(certificate.encode()).decode()}"]


@pytest.mark.parametrize(
    ("names", "subjects"),
    [
        (["192.0.2.1", "192.0.2.1"], ["IP:192.0.2.1"]),
        (["Www.Example.com"], ["DNS:www.example.com"]),
        (["2001:DB8::0:1", "[2001:db8::1]"], ["IP:2001:db8::1"]),
        ([".example.com"], ["DNS:example.com", "DNS:*.example.com"]),
        (["*"], []),
        (["10.0.0.example.com"], ["DNS:10.0.0.example.com"]),
    ],
)
def test_names_and_addresses_as_a_certificate_says_them(names: list[str], subjects: list[str]) -> None:
    assert rules.certificate_subjects(names) == subjects


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param([], "missing", id="a fresh host"),
        pytest.param(look(OURS.issue(RIGHT)), None, id="all is well"),
        pytest.param(look(OURS.issue(RIGHT[::-1])), None, id="in another order"),
        pytest.param(look(OURS.issue(RIGHT, days=89)), "ends at", id="ends soon"),
        pytest.param(look(OURS.issue(RIGHT, days=-1)), "ends at", id="has ended"),
        pytest.param(look(OURS.issue([*RIGHT, "DNS:old"])), "other names", id="a name too many"),
        pytest.param(
            look(THEIRS.issue(RIGHT)), "another authority", id="an authority of the same name with another key"
        ),
        pytest.param(look("no certificate"), "unreadable", id="a damaged file"),
    ],
)
def test_what_is_replaced_and_why(lines: list[str], reason: str | None) -> None:
    stale = rules.stale_certificates(lines, WANTED, OURS.pem, 90, False)
    assert list(stale) == (["redis"] if reason else [])
    assert reason is None or reason in stale["redis"]


def test_all_are_replaced_where_that_is_asked_for() -> None:
    assert rules.stale_certificates(look(OURS.issue(RIGHT)), WANTED, OURS.pem, 90, True) == {"redis": "asked for"}


def test_before_there_is_an_authority_everything_is_missing() -> None:
    assert rules.stale_certificates([], WANTED, "", 90, False) == {"redis": "missing"}


def asked(
    subjects: list[str] = RIGHT, ca: bool = False, use: Any = ExtendedKeyUsageOID.SERVER_AUTH, more: bool = False
) -> str:
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(named("redis of redis1"))
        .add_extension(alternatives(subjects), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=ca, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    )
    if more:
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("request_text", "fault"),
    [
        pytest.param(asked(), None, id="as told"),
        pytest.param(asked(["IP:192.0.2.99"]), "it is for IP:192.0.2.99", id="another host's address"),
        pytest.param(asked([*RIGHT, "DNS:www.example.com"]), "www.example.com", id="a name more"),
        pytest.param(asked(ca=True), "authority", id="an authority"),
        pytest.param(asked(use=ExtendedKeyUsageOID.CLIENT_AUTH), "another use", id="for clients"),
        pytest.param(asked(more=True), "asks for more", id="an extension more"),
    ],
)
def test_a_request_for_more_than_the_host_may_have_is_refused(request_text: str, fault: str | None) -> None:
    faults = rules.request_faults(request_text, RIGHT)
    assert bool(faults) == bool(fault)
    assert fault is None or fault in " ".join(faults)


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("own", "fault"),
    [
        pytest.param({"certificate": THEIRS.issue(RIGHT), "key": pem(KEY)}, None, id="good"),
        pytest.param({"certificate": THEIRS.issue(RIGHT)}, "certificate and key", id="no key"),
        pytest.param({"certificate": THEIRS.issue(RIGHT), "key": pem(OTHER_KEY)}, "belong together", id="another key"),
        pytest.param({"certificate": THEIRS.issue(RIGHT, days=-3), "key": pem(KEY)}, "ended at", id="has ended"),
        pytest.param({"certificate": THEIRS.issue(["DNS:other"]), "key": pem(KEY)}, "IP:192.0.2.11", id="another name"),
        pytest.param({"certificate": "/etc/ssl/redis.pem", "key": pem(KEY)}, "can't be read", id="a path"),
    ],
)
def test_a_certificate_of_the_teams_own(own: dict[str, str], fault: str | None) -> None:
    faults = rules.own_certificate_faults({"redis": own, "unused": {}}, WANTED)
    assert bool(faults) == bool(fault)
    assert fault is None or fault in faults[0]
    assert own.get("key", "no key to show" * 6)[40:80] not in " ".join(faults)


def test_a_wildcard_covers_one_level() -> None:
    wanted = [{"name": "front", "subjects": ["www.example.com"]}]
    own = {"certificate": THEIRS.issue(["DNS:*.example.com"]), "key": pem(KEY)}
    assert rules.own_certificate_faults({"front": own}, wanted) == []
    assert rules.own_certificate_faults({"front": own}, [{"name": "front", "subjects": ["a.b.example.com"]}]) != []


def test_what_ends_soon_is_named() -> None:
    texts = {"the authority": OURS.pem, "front": THEIRS.issue(RIGHT, days=10), "none yet": ""}
    lines = rules.ending_certificates(texts, 90)
    assert [line.partition(" ends at ")[0] for line in lines] == ["front"]
