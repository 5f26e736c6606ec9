"""What the role certificates decides of certificates, on the controller: which are to be replaced, and why.

Pure functions of texts, so that their rules can be tested without a host. Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
except ImportError as error:
    # What only lists the filters or shows their documentation may go without.
    MISSING: ImportError | None = error
else:
    MISSING = None
    WHAT_A_REQUEST_HAS = {
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
    }


def certificate_subjects(names: Sequence[str]) -> list[str]:
    """Return host names and addresses as a certificate says them: `DNS:www.example.com`, `IP:192.0.2.1`.

    Django's patterns are understood: `.example.com` is the domain and all below it, `*` says nothing that could be certified.
    """
    subjects: list[str] = []
    for name in names:
        try:
            subjects.append(f"IP:{ipaddress.ip_address(str(name).strip('[]'))}")
            continue
        except ValueError:
            pass
        plain = str(name).lower()
        if plain.startswith("."):
            subjects += [f"DNS:{plain[1:]}", f"DNS:*{plain}"]
        elif plain != "*":
            subjects.append(f"DNS:{plain}")
    return list(dict.fromkeys(subjects))


def _subjects_of(holder: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    try:
        found = holder.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [f"{'IP' if isinstance(name, x509.IPAddress) else 'DNS'}:{str(name.value).lower()}" for name in found]


def _read(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def _ends_within(certificate: x509.Certificate, days: float) -> bool:
    return certificate.not_valid_after_utc < datetime.now(UTC) + timedelta(days=float(days))


def _day(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%Y-%m-%d}"


def stale_certificates(
    look: Sequence[str], wanted: Sequence[Mapping[str, Any]], authority: str, renew_days: float, everything: bool
) -> dict[str, str]:
    """Return the names of certificates that are to be signed anew, each with the reason.

    Args:
        look: lines of the host: a name, whether certificate and key fit ("yes"), the certificate in base64.
        wanted: `name` and `subjects` of each certificate.
        authority: certificate of the authority (PEM); empty before there is one.
        renew_days: days before its end from which a certificate is replaced.
        everything: whether to replace all of them.
    """
    found = {name: base64.b64decode(text).decode() for name, fits, text in map(str.split, look) if fits == "yes"}
    reasons = {}
    for one in wanted:
        name = str(one["name"])
        if name not in found:
            reasons[name] = "missing"
        elif reason := _reason(found[name], certificate_subjects(one["subjects"]), authority, renew_days):
            reasons[name] = reason
        elif everything:
            reasons[name] = "asked for"
    return reasons


def _reason(text: str, subjects: list[str], authority: str, renew_days: float) -> str:
    try:
        certificate = _read(text)
    except ValueError:
        return "unreadable"
    try:
        certificate.verify_directly_issued_by(_read(authority))
    except (ValueError, TypeError, InvalidSignature):
        return "of another authority"
    if sorted(_subjects_of(certificate)) != sorted(subjects):
        return "other names"
    return f"ends at {_day(certificate)}" if _ends_within(certificate, renew_days) else ""


def request_faults(text: str, subjects: Sequence[str]) -> list[str]:
    """Return in what a host's request differs from what the host was told to ask for; it may be in other hands."""
    request = x509.load_pem_x509_csr(text.encode())
    usage = request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    rules = {
        "its signature is wrong": request.is_signature_valid,
        f"it is for {', '.join(_subjects_of(request))}": sorted(_subjects_of(request)) == sorted(subjects),
        "it asks for an authority": not request.extensions.get_extension_for_class(x509.BasicConstraints).value.ca,
        "it asks for another use": list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH],
        "it asks for more": {extension.oid for extension in request.extensions} == WHAT_A_REQUEST_HAS,
    }
    return [fault for fault, well in rules.items() if not well]


def ending_certificates(texts: Mapping[str, str], days: float) -> list[str]:
    """Return a line for each certificate (PEM, by what it is called) that ends within some days."""
    certificates = {name: _read(text) for name, text in texts.items() if text}
    return [f"{name} ends at {_day(one)}" for name, one in certificates.items() if _ends_within(one, days)]


def own_certificate_faults(own: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with certificates that the team brings."""
    faults = []
    for one in wanted:
        name = str(one["name"])
        if name in own:
            faults += [f"{name}: {text}" for text in _own_faults(own[name], certificate_subjects(one["subjects"]))]
    return faults


def _own_faults(own: Any, subjects: list[str]) -> list[str]:
    if not isinstance(own, Mapping) or not own.get("certificate") or not own.get("key"):
        return ["needs the entries certificate and key, both PEM"]
    try:
        certificate = _read(str(own["certificate"]))
        key = load_pem_private_key(str(own["key"]).encode(), password=None)
    except (ValueError, TypeError):
        # What the library says could show a part of the key.
        return ["its certificate or its key can't be read: both are PEM, the key without a passphrase"]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    faults = []
    if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        faults.append("its certificate and its key don't belong together")
    if _ends_within(certificate, 0):
        faults.append(f"its certificate ended at {_day(certificate)}")
    if subjects and not _covers(_subjects_of(certificate), subjects[0]):
        faults.append(f"its certificate doesn't name {subjects[0]}, by which clients know the server")
    return faults


def _covers(named: list[str], subject: str) -> bool:
    wildcard = f"DNS:*.{subject.removeprefix('DNS:').partition('.')[2]}"
    return subject in named or (subject.startswith("DNS:") and wildcard in named)


def _refuse(*_arguments: Any, **_options: Any) -> None:
    """Stand for every filter where the library is missing."""
    raise AnsibleFilterError(f"the controller needs the Python library cryptography: {MISSING}")


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            function.__name__: _refuse if MISSING else function
            for function in (
                certificate_subjects,
                stale_certificates,
                request_faults,
                ending_certificates,
                own_certificate_faults,
            )
        }
