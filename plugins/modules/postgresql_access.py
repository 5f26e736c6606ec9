"""Bring a database, its roles, and what each of them may do, to their wanted state in one module call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_access
short_description: One database, the role that owns it, and roles that may use its tables
description:
  - Speaks to a running server of this host as its administrator, over the unix socket (run it as the account C(postgres)).
  - Compares with the server's catalogs, so that a role which has changed its own password or settings is put right. Passwords reach
    the server as SCRAM verifiers alone.
  - Tables that the owner makes later come with the rights of the roles that may use all of them (ALTER DEFAULT PRIVILEGES).
options:
  database: {description: Name of the database., type: str, required: true}
  port: {description: TCP port that the server's socket is named after., type: int, default: 5432}
  owner: {description: The role that owns the database and whatever is in it., type: str, required: true}
  roles:
    description: The roles, the owner among them. Each may log in; none has rights over the server.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the role., type: str, required: true}
      password: {description: "Its password, printable ASCII characters.", type: str, required: true}
      connections: {description: Number of connections that it may have at once; -1 for no limit., type: int, default: -1}
      tables:
        description: Shell patterns of the owner's tables that it may read and write; C(*) stands for all, those of later too. Not for the owner.
        type: list
        elements: str
        default: []
  settings: {description: "Settings of every role (ALTER ROLE SET); any other is reset.", type: dict, default: {}}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make the roles and the database
  plainhost.stack.postgresql_access:
    database: shop
    owner: shop
    roles:
      - {name: shop, password: "{{ owner_password }}"}
      - {name: shop_web, password: "{{ web_password }}", connections: 40, tables: ["*"]}
  become: true
  become_user: postgres
  no_log: true
"""

RETURN = r"""
statements: {description: "What was (or in check mode would be) done, without secrets.", returned: always, type: list, elements: str}
"""

import base64
import fnmatch
import hashlib
import hmac
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    psycopg2 = None

# What PostgreSQL's own verifiers are made with, up to 17 (scram_iterations).
ITERATIONS = 4096
# In the order of pg_authid's columns below.
ATTRIBUTES = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS LOGIN"
# What a role may do that reads and writes: rights, as pg_default_acl and GRANT name the kinds of objects.
READ_AND_WRITE = {
    "r": ("TABLES", "TABLE", ("DELETE", "INSERT", "SELECT", "UPDATE")),
    "S": ("SEQUENCES", "SEQUENCE", ("SELECT", "UPDATE", "USAGE")),
    "n": ("SCHEMAS", "SCHEMA", ("USAGE",)),
}
# Nothing that is asked here may reach the server's log, where it would outlive the run.
QUIET = "-c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1"

ROLES = """
SELECT rolname, rolpassword, rolconnlimit,
       rolcanlogin AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)
FROM pg_authid WHERE rolname = ANY(%s)
"""
SETTINGS = """
SELECT coalesce(r.rolname, ''), coalesce(d.datname, ''), s.setconfig
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE r.rolname = ANY(%s) OR (s.setrole = 0 AND d.datname = %s)
ORDER BY 1, 2
"""
DATABASE_RIGHTS = """
SELECT coalesce(r.rolname, ''), array_agg(a.privilege_type::text ORDER BY a.privilege_type)
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s GROUP BY 1
"""
# Only what the owner owns is his to share: an extension's tables have rights of their own.
OBJECTS = """
SELECT CASE c.relkind WHEN 'S' THEN 'S' ELSE 'r' END, n.nspname, c.relname,
       ARRAY(SELECT r.rolname || ' ' || a.privilege_type FROM aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = c.relowner
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND o.rolname = %(owner)s AND n.nspname !~ '^pg_'
UNION ALL
SELECT 'n', '', n.nspname, ARRAY(SELECT coalesce(r.rolname, '') || ' ' || a.privilege_type
                                FROM aclexplode(n.nspacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee)
FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
WHERE n.nspname = 'public' OR (o.rolname = %(owner)s AND n.nspname !~ '^pg_')
ORDER BY 1, 2, 3
"""
DEFAULTS = """
SELECT d.defaclobjtype::text, ARRAY(SELECT r.rolname || ' ' || a.privilege_type
                                    FROM aclexplode(d.defaclacl) a JOIN pg_roles r ON r.oid = a.grantee)
FROM pg_default_acl d JOIN pg_roles o ON o.oid = d.defaclrole WHERE o.rolname = %s AND d.defaclnamespace = 0
"""


def _keys(password: str, salt: bytes, iterations: int) -> tuple[str, str]:
    """Return StoredKey and ServerKey of RFC 5802 for SCRAM-SHA-256, in base64."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return base64.b64encode(stored).decode(), base64.b64encode(server).decode()


def verifier(password: str) -> str:
    """Return what PostgreSQL keeps of a password."""
    salt = os.urandom(16)
    stored, server = _keys(password, salt, ITERATIONS)
    return f"SCRAM-SHA-256${ITERATIONS}:{base64.b64encode(salt).decode()}${stored}:{server}"


def verifies(password: str, kept: str | None) -> bool:
    """Tell whether what the server keeps is that of a password."""
    try:
        kind, parameters, keys = (kept or "").split("$")
        iterations, salt = parameters.split(":")
        return kind == "SCRAM-SHA-256" and keys == ":".join(_keys(password, base64.b64decode(salt), int(iterations)))
    except ValueError:
        return False


class Access:
    """The wanted state, compared with a server and applied to it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.database, self.owner = module.params["database"], module.params["owner"]
        self.roles = {role["name"]: role for role in module.params["roles"]}
        self.services = [name for name in self.roles if name != self.owner]
        self.statements: list[str] = []
        self.connection: Any = None

    def run(self) -> None:
        """Compare and apply; exits the module."""
        try:
            self._connect("postgres")
            self._ensure_roles()
            fresh = self._ensure_database()
            self._ensure_settings()
            if not (fresh and self.module.check_mode):
                self._ensure_database_rights()
                self._connect(self.database)
                self._ensure_rights()
                self._ensure_rights_of_later()
        except psycopg2.Error as error:
            # The server's own words hold no secret: it is sent none.
            self.module.fail_json(msg=f"PostgreSQL refuses: {str(error).strip()}", statements=self.statements)
        self.module.exit_json(changed=bool(self.statements), statements=self.statements)

    def _connect(self, database: str) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = psycopg2.connect(
            host="/run/postgresql", port=self.module.params["port"], user="postgres", dbname=database, options=QUIET
        )
        self.connection.autocommit = True

    def _ask(self, query: str, *values: Any, **named: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(query, named or values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _do(self, template: str, *names: str, shown: str = "", **values: Any) -> None:
        """Run a statement unless in check mode; `{}` stands for a name, and `shown` for it where it holds a secret."""
        statement = sql.SQL(template).format(
            *map(sql.Identifier, names), **{key: sql.Literal(value) for key, value in values.items()}
        )
        self.statements.append(shown or statement.as_string(self.connection))
        if not self.module.check_mode:
            with self.connection.cursor() as cursor:
                cursor.execute(statement)

    def _ensure_roles(self) -> None:
        present = {name: rest for name, *rest in self._ask(ROLES, list(self.roles))}
        for name, role in self.roles.items():
            if name not in present:
                self._do("CREATE ROLE {} LOGIN", name)
            kept, limit, ordinary = present.get(name, (None, -1, True))
            if not ordinary:
                self._do(f"ALTER ROLE {{}} {ATTRIBUTES}", name)
            if limit != role["connections"]:
                self._do("ALTER ROLE {} CONNECTION LIMIT {limit}", name, limit=role["connections"])
            if not verifies(role["password"], kept):
                shown = f"ALTER ROLE {name} PASSWORD …"
                self._do("ALTER ROLE {} PASSWORD {kept}", name, shown=shown, kept=verifier(role["password"]))

    def _ensure_database(self) -> bool:
        """Make the database where it is missing; tell whether it was."""
        owners = self._ask(
            "SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = %s",
            self.database,
        )
        if not owners:
            # Sorted by code point: an index stays right when the C library's rules change with a release.
            self._do(
                "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0",
                self.database,
                self.owner,
            )
        elif owners[0][0] != self.owner:
            self._do("ALTER DATABASE {} OWNER TO {}", self.database, self.owner)
        return not owners

    def _ensure_settings(self) -> None:
        """Reset what a role has set for itself, which would outlive whoever did it, and set what is wanted.

        Sessions that began with such a setting keep it: they are ended, and their clients connect anew.
        """
        wanted = {str(name): str(value) for name, value in self.module.params["settings"].items()}
        right, misled = set(), set()
        for role, database, pairs in self._ask(SETTINGS, list(self.roles), self.database):
            if role and not database and dict(pair.split("=", 1) for pair in pairs) == wanted:
                right.add(role)
            elif not role:
                self._do("ALTER DATABASE {} RESET ALL", database)
            elif database:
                self._do("ALTER ROLE {} IN DATABASE {} RESET ALL", role, database)
            else:
                self._do("ALTER ROLE {} RESET ALL", role)
            if {pair.split("=", 1)[0] for pair in pairs} - wanted.keys():
                misled |= {role} if role else self.roles.keys()
        for role in sorted(self.roles.keys() - right) if wanted else ():
            for name, value in wanted.items():
                self._do("ALTER ROLE {} SET {} = {value}", role, name, value=value)
        for role in sorted(misled):
            self._do(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {role} AND pid <> pg_backend_pid()",
                role=role,
            )

    def _ensure_database_rights(self) -> None:
        rights = dict(self._ask(DATABASE_RIGHTS, self.database))
        if rights.get(""):
            self._do("REVOKE ALL ON DATABASE {} FROM PUBLIC", self.database)
        for name in self.services:
            if rights.get(name) != ["CONNECT", "TEMPORARY"]:
                self._do("REVOKE ALL ON DATABASE {} FROM {}", self.database, name)
                self._do("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", self.database, name)

    def _ensure_rights(self) -> None:
        """Give each role the rights to what is there, and take any other."""
        for kind, schema, name, granted in self._ask(OBJECTS, owner=self.owner):
            _plural, word, rights = READ_AND_WRITE[kind]
            names = [schema, name] if schema else [name]
            place = ".".join(["{}"] * len(names))
            if kind == "n" and " CREATE" in granted:
                # Until PostgreSQL 14 everybody could make tables in the schema public, and an upgraded cluster keeps that.
                self._do("GRANT CREATE, USAGE ON SCHEMA {} TO {}", name, self.owner)
                self._do("REVOKE CREATE ON SCHEMA {} FROM PUBLIC", name)
            for role in self.services:
                has = sorted(entry.split(" ")[1] for entry in granted if entry.split(" ")[0] == role)
                may = list(rights) if kind == "n" or self._may_use(role, name) else []
                # Everybody may use the schema public.
                may = has if kind == "n" and name == "public" else may
                if too_many := sorted(set(has) - set(may)):
                    self._do(f"REVOKE {', '.join(too_many)} ON {word} {place} FROM {{}}", *names, role)
                if missing := sorted(set(may) - set(has)):
                    self._do(f"GRANT {', '.join(missing)} ON {word} {place} TO {{}}", *names, role)

    def _may_use(self, role: str, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.roles[role]["tables"])

    def _ensure_rights_of_later(self) -> None:
        """Do the same for what the owner will make."""
        defaults = dict(self._ask(DEFAULTS, self.owner))
        for kind, (word, _singular, rights) in READ_AND_WRITE.items():
            for role in self.services:
                has = {entry.split(" ")[1] for entry in defaults.get(kind, []) if entry.split(" ")[0] == role}
                may = set(rights) if "*" in self.roles[role]["tables"] else set()
                change = f"ALTER DEFAULT PRIVILEGES FOR ROLE {{}} %s ON {word} %s {{}}"
                if too_many := sorted(has - may):
                    self._do(change % (f"REVOKE {', '.join(too_many)}", "FROM"), self.owner, role)
                if missing := sorted(may - has):
                    self._do(change % (f"GRANT {', '.join(missing)}", "TO"), self.owner, role)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5432},
            "owner": {"type": "str", "required": True},
            "roles": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                    "connections": {"type": "int", "default": -1},
                    "tables": {"type": "list", "elements": "str", "default": []},
                },
            },
            "settings": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if psycopg2 is None:
        if module.check_mode:
            # A fresh host: the package would be installed by a real run.
            module.exit_json(changed=True, statements=[])
        module.fail_json(msg="psycopg2 is missing: install the package python3-psycopg2")
    Access(module).run()


if __name__ == "__main__":
    main()
