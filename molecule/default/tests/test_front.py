"""The front is what the network meets: TLS, names that it knows, limits, and nobody refused while something restarts."""

import contextlib
import http.client
import re
import shlex
import socket
import ssl
import threading
import time
import warnings

import pytest
import stack

from testbench.remote import parse_scores

UNIT = "nginx.service"
# What unix sockets alone allow; see docs/security.md.
WORST_SCORE = 0.5
OPEN = {22, 80, 443}
# Seconds after which a client that doesn't finish its request is left, and some for a slow machine.
CLIENT_TIMEOUT = 15
# Seconds that a visitor waits while something restarts, on a machine that has much else to do.
PATIENCE = 60
UNKNOWN = "elsewhere.example"
FLOWER_OPEN = ["/metrics", "/healthcheck"]


def handshake(front, name, *, low=None, high=None, ciphers="", alpn=()):
    """Shake hands and return the connection; the certificate is verified only by the tests that are about it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # This machine's own policy must not be what refuses.
    context.set_ciphers(ciphers or "ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = low or ssl.TLSVersion.TLSv1_2
        context.maximum_version = high or ssl.TLSVersion.MAXIMUM_SUPPORTED
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(socket.create_connection((front.address, 443), 10), server_hostname=name)


def ask(front, path, method="GET", body=None, **headers):
    """Ask, and return the answer with its headers, none of them added or followed."""
    connection = front.connect(PATIENCE)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.text = answer.read().decode(errors="replace")
        return answer
    finally:
        connection.close()


def plain(address, path, host, port=80):
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    return connection.getresponse()


@pytest.fixture(scope="module", autouse=True)
def dawdler(address):
    """Somebody who never ends the head of his request, from before the first test."""
    began = time.monotonic()
    with socket.create_connection((address, 80), 10) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: ")
        yield link, began


# --- What is open ---


def test_only_the_front_and_ssh_are_open_to_the_network(host):
    listed = [line.split()[3] for line in host.check_output("ss --no-header --listening --tcp --numeric").splitlines()]
    reachable = {entry for entry in listed if not re.match(r"(127\.|\[::1\]|\[::ffff:127\.)", entry)}
    assert {int(entry.rsplit(":", 1)[1]) for entry in reachable} == OPEN


@pytest.mark.parametrize("port", [5555, 8000, 5432, 6379])
def test_what_stands_behind_it_is_closed(address, port):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, port), 5)


@pytest.mark.parametrize("account", ["nobody", "ops", "celery", "celery-beat"])
@pytest.mark.parametrize("path", ["/run/sample-web/http.sock", "/run/celery-flower/http.sock"])
def test_others_on_the_host_cannot_go_past_it(host, path, account):
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
    assert host.run(f"test -S {path}").rc == 0
    answer = host.run(f"runuser -u {account} -- python3 -c {shlex.quote(code)}")
    assert "PermissionError" in answer.stderr


def test_it_runs_without_root_and_without_a_network(host):
    owners = {line.split()[0] for line in host.check_output("ps -eo user:32=,args=").splitlines() if "nginx:" in line}
    assert owners == {"www-data"}
    shown = stack.show(host, UNIT, "PrivateNetwork", "CapabilityBoundingSet", "AmbientCapabilities")
    assert shown == {"PrivateNetwork": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": ""}
    inside = f"nsenter --target {stack.main_pid(host, UNIT)} --net ip -brief address"
    assert "eth0" not in host.check_output(inside)


def test_its_sandbox_is_tight(host):
    scores = parse_scores(host.check_output("systemd-analyze security --no-pager"))
    assert float(scores[UNIT]) <= WORST_SCORE


def test_its_key_is_roots(host):
    key = host.file("/etc/sample/tls/front.key")
    assert (key.user, key.mode) == ("root", 0o600)


# --- Who asks ---


@pytest.fixture
def mirror(host):
    """Let the site answer with the environment of each request, as its real service is run otherwise."""
    unit = "/etc/systemd/system/django-web.service"
    folder = f"{unit}.d"
    command = host.check_output(f"sed -n 's/^ExecStart=//p' {unit}")
    assert "sample.wsgi:application" in command
    shown = command.replace("sample.wsgi:application", "wsgiref.simple_server:demo_app")
    text = f"[Service]\nExecStart=\nExecStart={shown}\n"
    host.check_output(f"mkdir -p {folder} && printf '%s' {shlex.quote(text)} > {folder}/mirror.conf")
    host.check_output("systemctl daemon-reload && systemctl restart django-web.service")
    yield
    host.check_output(f"rm -r {folder} && systemctl daemon-reload && systemctl restart django-web.service")


@pytest.mark.usefixtures("mirror")
def test_the_project_learns_the_clients_address_and_not_what_the_client_says(front):
    connection = front.connect(PATIENCE)
    try:
        connection.request("GET", "/", None, {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"})
        own = connection.sock.getsockname()[0]
        seen = connection.getresponse().read().decode()
    finally:
        connection.close()
    assert f"REMOTE_ADDR = '{own}'" in seen
    assert "203.0.113.9" not in seen


# --- TLS ---


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_are_refused(front, version):
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        handshake(front, "localhost", low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_current_versions_are_spoken(front, version):
    with handshake(front, "localhost", low=ssl.TLSVersion[version], high=ssl.TLSVersion[version]) as link:
        assert link.version() == version.replace("_", ".")


@pytest.mark.parametrize(
    "ciphers", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"]
)
def test_weak_ciphers_are_refused(front, ciphers):
    with pytest.raises(ssl.SSLError, match=r"(?i)alert handshake failure"):
        handshake(front, "localhost", high=ssl.TLSVersion.TLSv1_2, ciphers=f"{ciphers}:@SECLEVEL=0")


def test_no_session_tickets(front):
    with handshake(front, "localhost", high=ssl.TLSVersion.TLSv1_2) as link:
        assert link.session is not None
        assert not link.session.has_ticket


def test_http_2_is_offered(front):
    with handshake(front, "localhost", alpn=("h2", "http/1.1")) as link:
        assert link.selected_alpn_protocol() == "h2"


# --- Names ---


def test_an_unknown_name_gets_no_handshake(front):
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized name"):
        handshake(front, UNKNOWN)


@pytest.mark.parametrize("name", [None, "localhost"])
def test_an_unknown_host_gets_no_answer(front, name):
    with handshake(front, name) as link:
        link.sendall(f"GET /healthz HTTP/1.1\r\nHost: {UNKNOWN}\r\n\r\n".encode())
        answer = link.recv(1000)
    # Where the handshake was for another name than the request, the answer may be a refusal.
    assert answer == b"" or answer.split()[1] == b"421"


def test_an_unknown_host_gets_no_answer_without_tls(address):
    # Without a word, or with a reset.
    with pytest.raises(ConnectionResetError):
        plain(address, "/", UNKNOWN)


def test_plain_http_leads_to_https(address):
    answer = plain(address, "/register/?who=ada", address)
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{address}/register/?who=ada")
    assert answer.headers["Strict-Transport-Security"] is None


# --- What browsers are told ---

SAID = {
    "Strict-Transport-Security": r"max-age=3600",
    "X-Content-Type-Options": r"nosniff",
    "X-Frame-Options": r"DENY",
    "Referrer-Policy": r"same-origin",
    "Content-Security-Policy": r"default-src 'self';.* frame-ancestors 'none'",
    "Server": r"nginx",
}


@pytest.mark.parametrize("path", ["/", "/register/", "/admin/login/", "/nowhere", "/flower/", "/flower/metrics"])
def test_each_header_is_said_once(front, path):
    headers = ask(front, path).headers
    assert {name: headers.get_all(name) for name in SAID if len(headers.get_all(name, [])) != 1} == {}
    assert [name for name, value in SAID.items() if not re.fullmatch(value, headers[name])] == []


def test_localhost_is_not_told_to_use_https_for_ever(front):
    assert ask(front, "/healthz", Host="localhost").headers["Strict-Transport-Security"] is None


def test_cookies_travel_by_https_alone(front):
    cookie = ask(front, "/admin/login/").headers["Set-Cookie"]
    assert cookie.startswith("csrftoken=")
    assert "Secure" in cookie


def test_flowers_cookie_travels_by_https_alone(front):
    cookie = ask(front, "/flower/nowhere").headers["Set-Cookie"]
    assert cookie.startswith("_xsrf=")
    assert {"Secure", "SameSite=Strict"} <= {word.strip() for word in cookie.split(";")}


def test_djangos_deployment_checks_have_nothing_to_say(host):
    answer = host.run("sample-manage check --deploy --fail-level WARNING")
    assert answer.rc == 0, answer.stderr


def test_the_admin_lets_somebody_in_and_keeps_to_the_policy(front, secret):
    page = ask(front, "/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
    form = f"csrfmiddlewaretoken={token}&username=admin%40example.com&password={secret('admin_password')}&next=/admin/"
    entered = ask(
        front,
        "/admin/login/",
        "POST",
        form,
        Cookie=page.headers["Set-Cookie"].split(";")[0],
        Referer=f"https://{front.address}/admin/login/",
        Origin=f"https://{front.address}",
        Content_Type="application/x-www-form-urlencoded",
    )
    assert (entered.status, entered.headers["Location"]) == (302, "/admin/")
    cookies = "; ".join(line.split(";")[0] for line in entered.headers.get_all("Set-Cookie"))
    for path in ("/admin/", "/admin/django_celery_beat/periodictask/add/", "/admin/django_celery_results/taskresult/"):
        page = ask(front, path, Cookie=cookies)
        assert page.status == 200
        # Scripts in the page itself don't run under the policy that it is sent with. One is known: it only explains a crontab in words.
        inline = re.findall(r"<script(?![^>]*(?:src=|application/json))[^>]*>|\son[a-z]+=\"", page.text)
        assert set(inline) <= {'<script id="periodic-task-overrides">'}


# --- What the application is told ---


def test_a_client_s_word_on_where_it_comes_from_counts_for_nothing(front):
    spoofed = {
        "X_Forwarded_Proto": "http",
        "X_Forwarded_Protocol": "http",
        "X_Forwarded_Host": UNKNOWN,
        "Forwarded": f"host={UNKNOWN};proto=http",
    }
    answer = ask(front, "/register/", **spoofed)
    # Believed, the first would be answered with a redirect to HTTPS.
    assert answer.status == 200
    assert UNKNOWN not in answer.text


# --- Limits ---


@pytest.fixture
def limits(host, wait_until_up):
    """Give back to the tests that follow what this one uses up: nginx counts in memory that ends with its main process."""
    yield
    host.check_output(f"systemctl restart {UNIT}")
    wait_until_up()


def knock(host, address, method, path, count):
    return {
        int(status): number
        for status, number in stack.script(host, "knock.py", address, method, path, str(count)).items()
    }


@pytest.mark.usefixtures("limits")
def test_guessing_passwords_is_slowed_down(host, address):
    seen = knock(host, address, "POST", "/admin/login/", 20)
    assert seen[429] >= 5
    # Without a token nobody got further than this.
    assert set(seen) == {403, 429}
    # Others, and other pages, aren't.
    assert set(knock(host, address, "GET", "/admin/login/", 5)) == {200}


@pytest.mark.usefixtures("limits")
def test_a_path_that_the_inventory_names_is_limited(host, address):
    seen = knock(host, address, "POST", "/register/", 45)
    assert seen[429] >= 5


@pytest.mark.usefixtures("limits")
def test_asking_flower_is_limited_and_its_files_are_not(host, address):
    assert knock(host, address, "GET", "/flower/", 150)[429] >= 5
    assert set(knock(host, address, "GET", "/flower/static/favicon.ico", 5)) == {200}


def test_a_body_beyond_the_limit_is_refused(front):
    connection = front.connect()
    connection.putrequest("POST", "/register/")
    connection.putheader("Content-Length", str(11 * 2**20))
    connection.endheaders()
    assert connection.getresponse().status == 413


# --- Flower ---


@pytest.mark.parametrize("login", [False, True])
@pytest.mark.parametrize("page", FLOWER_OPEN)
@pytest.mark.parametrize(
    "way", ["/flower{}", "/flower//{}", "/flower/.{}", "/flower/static/..{}", "/flower/x/%2e%2e{}", "/flower{}/"]
)
def test_pages_without_a_login_stay_on_the_host(http, secret, way, page, login):
    status, text, _ = http("GET", way.format(page), login=f"flower:{secret('flower_password')}" if login else "")
    assert status in (401, 404)
    assert "flower_events_total" not in text
    assert text.strip() != "OK"


def test_monitoring_finds_them_on_loopback(host):
    seen = stack.script(host, "flower_metrics.py")
    # Any account of the host comes as far as this.
    assert seen["without a login"] == 401
    assert "flower_worker_online" in seen["with it"]
    assert (seen["health"], seen["pages"]) == (200, 401)


def test_flower_is_found_without_its_slash(front):
    assert ask(front, "/flower").headers["Location"] == "/flower/"


# --- Crowds and restarts ---


def test_who_comes_together_is_served_together(front):
    """Two processes of nginx accept from one socket; one that waited there for the next client would leave its own alone until then."""
    waits = []

    def visit():
        began = time.monotonic()
        with contextlib.suppress(OSError):
            ask(front, "/flower/metrics")
        waits.append(time.monotonic() - began)

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        crowd = [threading.Thread(target=visit) for _ in range(3)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        time.sleep(0.01)
    assert len(waits) > 100
    assert max(waits) < 8


class Visitors:
    """People who ask for a page over and over, each time on a new connection, and tell what went wrong."""

    def __init__(self, front):
        self.front, self.over = front, threading.Event()
        self.answers, self.faults = [], []
        self.threads = [threading.Thread(target=self.visit, daemon=True) for _ in range(3)]

    def visit(self):
        while not self.over.wait(0.02):
            try:
                status = ask(self.front, "/healthz").status
            # Whatever it is, the visitor has no page.
            except Exception as error:
                self.faults.append(repr(error))
            else:
                (self.answers if status == 200 else self.faults).append(status)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("unit", [UNIT, "django-web.service"])
def test_a_restart_refuses_nobody(host, front, unit):
    before = stack.main_pid(host, unit)
    with Visitors(front) as visitors:
        stack.wait_for(lambda: len(visitors.answers) > 10, "the first visitors")
        for _ in range(2):
            host.check_output(f"systemctl restart {unit}")
            seen = len(visitors.answers)
            # gunicorn's processes load the application after it has said that it is ready.
            stack.wait_for(lambda seen=seen: len(visitors.answers) > seen + 10, "visitors after the restart")
    assert stack.main_pid(host, unit) not in (0, before)
    assert visitors.faults == []


def test_a_new_certificate_is_served_and_nobody_refused(host, front, play, variables):
    """The files are written again, as a renewal does; what runs is older than they are."""
    before = stack.main_pid(host, UNIT)
    with Visitors(front) as visitors:
        host.check_output("touch /etc/sample/tls/front.pem")
        done = play("front", limit=host.backend.host)
        assert done.status == 0, done.output
    assert stack.main_pid(host, UNIT) not in (0, before)
    assert len(visitors.answers) > 10
    assert visitors.faults == []


# --- What is written down ---


def test_the_log_names_the_page_and_not_the_query(host, front):
    word = f"query-{time.time_ns()}"
    ask(front, f"/nowhere/{word}?token={word}-secret")
    ask(front, "/nowhere/", Cookie=f"token={word}-secret", Authorization=f"Bearer {word}-secret")
    log = stack.wait_for(
        lambda: host.run(f"journalctl --unit=nginx --since=-2min --grep={word} --output=cat").stdout, "the line"
    )
    assert f"GET /nowhere/{word} " in log
    assert "secret" not in host.check_output(f"journalctl --since=-2min --output=cat | grep {word}")


def test_who_doesnt_end_his_request_is_left(dawdler):
    link, began = dawdler
    link.settimeout(120)
    with contextlib.suppress(ConnectionResetError):
        assert b"200" not in link.recv(1000)
    # Nobody on the other end any more.
    with pytest.raises(OSError):
        for _ in range(5):
            link.sendall(b"x\r\n\r\n")
            time.sleep(0.2)
    assert time.monotonic() - began >= CLIENT_TIMEOUT - 1
