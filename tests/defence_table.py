"""What `tests/defences.py` takes out, and which tests that must turn red: a module and a name, perhaps with its case.

Where a test says that something is not overdone, the change overdoes it. A text stands in its file exactly once.
"""

from typing import NamedTuple


class Change(NamedTuple):
    """A text of a file, and what takes its place."""

    path: str
    old: str
    new: str


class Entry(NamedTuple):
    """One defence of a row of the threat table; several changes where one stands behind the other."""

    row: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    engine: str = "sqlite"


GATE, PROTOCOL, LIMITS = "routers/gate.py", "routers/protocol.py", "routers/limits.py"
ACCESS, SIGNING, LOCKOUT, RATES = (
    "services/access.py",
    "services/signing.py",
    "services/lockout.py",
    "services/rates.py",
)
TOKENS, SETTINGS, EDGE, LOGIN = "database/tokens.py", "config/settings.py", "routers/middleware.py", "routers/login.py"
SECURITY_OF_PAGES = "routers/docs.py"

MADE_BY_ITSELF = """\
        except Failure as failure:
            from datetime import datetime
            from database.tokens import Token, create
            from routers.writes import written
            made = Token("0" * 12, "made", "ingest", "first", None, bytes(32), datetime(2026, 1, 1))
            await written(request, lambda connection: create(connection, made))
            response = await on_failure(request, failure)
        await response(scope, receive, send)
"""


def _out(row: str, path: str, old: str, new: str, *tests: str) -> Entry:
    return Entry(row, (Change(path, old, new),), tests)


TABLE: tuple[Entry, ...] = (
    # Who may report
    _out(
        "T1",
        GATE,
        'if rules.mode == "enforce":\n        _check(',
        'if rules.mode == "never":\n        _check(',
        "test_access::test_t1_without_a_token_nothing_is_reported",
        "test_access::test_t1_what_shows_no_token_is_refused",
    ),
    _out(
        "T1",
        "routers/express.py",
        "admit(scope)\n            response = await handler(request)",
        "response = await handler(request)\n            admit(scope)",
        "test_access::test_t1_it_is_refused_before_the_body_is_parsed_and_before_any_sql",
    ),
    _out(
        "T1",
        EDGE,
        'scope["path"], scope["root_path"] = get_route_path(scope).rstrip("/") or "/", ""',
        "pass",
        "test_access::test_t1_no_root_path_opens_what_is_closed",
    ),
    _out(
        "T1",
        GATE,
        'if len(given) == 1 else ("", "", "")',
        'if given else ("", "", "")',
        "test_access::test_t1_two_tokens_at_once_are_none",
    ),
    _out(
        "T1",
        ACCESS,
        "if path in OPEN or path",
        "if path",
        "test_access::test_t1_health_and_pages_without_data_stay_open",
    ),
    _out(
        "T1",
        "main.py",
        'if settings.security.mode == "off" and not loopback(settings.server.host):',
        "if False:",
        "test_access::test_t1_a_start_that_is_open_to_others_warns",
    ),
    _out(
        "T1",
        "routers/express.py",
        """\
        except Failure as failure:
            response = await on_failure(request, failure)
        await response(scope, receive, send)
""",
        MADE_BY_ITSELF,
        "test_access::test_t1_a_token_is_never_made_over_the_network",
    ),
    # For which host
    _out(
        "T2",
        GATE,
        "if may_report(token, host_name):",
        "if token:",
        "test_access::test_t2_a_token_of_host_a_reports_for_no_other",
        "test_access::test_t2_of_a_batch_the_other_hosts_are_refused",
        "test_access::test_t2_a_legacy_report_is_judged_by_the_name_that_counts",
        "test_access::test_t2_a_token_for_a_pattern_is_good_for_its_hosts",
        "test_access::test_t2_a_token_is_bound_to_the_first_host_that_uses_it",
        "test_access::test_t2_of_a_batch_the_first_host_binds",
    ),
    _out(
        "T2",
        GATE,
        "if token.host_name is not None:\n            return token\n        now,",
        "now,",
        "test_access::test_t2_an_unbound_token_is_bound_by_one_statement_of_a_batch",
    ),
    Entry(
        "T2",
        (
            Change(GATE, "if database.credentials.holder(host_name, now) is None:", "if True:"),
            Change(TOKENS, 'if connection.execute(others.where(tokens.c.binding.in_(("host", "first")))', "if not (["),
            Change(TOKENS, ".limit(1)).first() is None:", "]):"),
        ),
        (
            "test_access::test_t2_an_unused_token_takes_no_host_of_another_token",
            "test_access::test_t2_the_database_knows_of_a_token_that_this_process_has_not_read_yet",
        ),
    ),
    _out(
        "T2",
        TOKENS,
        "tokens.c.host_name == host_name, *_valid(now))",
        "tokens.c.host_name == host_name)",
        "test_access::test_t2_an_unused_token_takes_the_host_of_a_token_that_is_no_more",
    ),
    _out(
        "T2",
        "database/credentials.py",
        'exact = token.host_name == host_name and token.binding in ("host", "first")',
        'exact = __import__("fnmatch").fnmatchcase(host_name, token.host_name or "")',
        "test_access::test_t2_an_unused_token_takes_a_host_that_only_a_pattern_names",
    ),
    Entry(
        "T2",
        (Change(TOKENS, "(*_living(id_), tokens.c.host_name.is_(None))", "_living(id_)"),),
        ("test_access::test_t2_of_two_instances_one_binds",),
        "mariadb",
    ),
    _out(
        "T2",
        "routers/heard.py",
        "if name and failure.code is not Code.FORBIDDEN:",
        "if name:",
        "test_agents::test_t2_a_token_for_another_host_spoils_nobodys_figures",
    ),
    _out(
        "T2",
        "database/agents.py",
        "if was is not None and was != by_id[id_].address}",
        "if False}",
        "test_agents::test_t2_a_host_that_reports_from_another_address_is_told",
    ),
    _out(
        "T2",
        "database/agents.py",
        "if was is not None and was != by_id[id_].address}",
        "if was is not None}",
        "test_agents::test_t2_a_steady_address_is_nothing_to_tell",
    ),
    # What for
    _out(
        "T3",
        GATE,
        "if not covers(principal.scope, need):",
        "if not principal.scope:",
        "test_access::test_t3_a_token_for_reports_reads_nothing",
        "test_access::test_t3_a_reader_reads_and_does_nothing_else",
        "test_access::test_t3_an_admin_reads_and_changes_but_reports_for_no_host",
        "test_scopes::test_t3_no_scope_sees_or_does_what_is_another_ones",
    ),
    _out(
        "T3",
        GATE,
        'if principal and covers(principal.scope, "admin"):',
        'if principal and covers(principal.scope, "admin") and "origin" not in request.headers:',
        "test_access::test_t3_an_admin_may_use_a_web_page",
    ),
    # Scripts in names
    _out(
        "T6",
        EDGE,
        '(b"x-request-id", self.id.encode()), *ours,',
        '(b"x-request-id", self.id.encode()),',
        "test_security_headers::test_t06_what_is_no_page_may_do_nothing_in_a_browser",
        "test_security_headers::test_t06_pages_carry_the_other_headers_too",
        "test_security_headers::test_t06_what_is_no_request_is_answered_with_the_same_headers",
    ),
    _out(
        "T6",
        "deploy/nginx.conf",
        "    proxy_hide_header Content-Security-Policy;\n",
        "",
        "test_deploy_nginx::test_t06_each_header_is_there_once_behind_nginx",
    ),
    _out(
        "T6",
        SECURITY_OF_PAGES,
        "\"default-src 'self'; object-src",
        '"default-src *; object-src',
        "test_docs::test_t06_browser_is_told_to_load_nothing_from_elsewhere",
    ),
    _out(
        "T6",
        SECURITY_OF_PAGES,
        "\"default-src 'self'; object-src",
        "\"default-src 'none'; object-src",
        "test_browser::test_t06_a_browser_shows_every_operation_under_the_policy",
    ),
    _out(
        "T6",
        "dashboard/templates/docs.html",
        '<script src="/static/docs.js"></script>',
        "<script>SwaggerUIBundle({})</script>",
        "test_docs::test_t06_no_script_and_no_handler_stands_in_a_page",
    ),
    Entry(
        "T6",
        (
            Change(
                "dashboard/static/js/dom.js",
                "  node.append(...children.flat().filter((child) => child !== null && child !== undefined));",
                "  for (const child of children.flat().filter((child) => child !== null && child !== undefined)) {\n"
                "    if (child instanceof Node) node.append(child);\n"
                '    else node.insertAdjacentHTML("beforeend", child);\n'
                "  }",
            ),
            Change(
                "dashboard/static/js/dom.js",
                "if (node.textContent !== text) node.textContent = text;",
                "if (node.textContent !== text) node.innerHTML = text;",
            ),
            Change(
                SECURITY_OF_PAGES,
                "\"default-src 'self'; object-src",
                "\"default-src 'self' 'unsafe-inline'; object-src",
            ),
        ),
        (
            "test_dashboard_names::test_t06_no_name_runs_on_a_page",
            "test_dashboard_names::test_t06_no_name_runs_on_the_pages_of_a_host_and_its_containers",
            "test_dashboard_names::test_t06_no_name_runs_in_a_comparison",
        ),
    ),
    # Formulas in files
    _out(
        "T7",
        "routers/forms.py",
        'return f"\'{value}" if value.startswith(FORMULA) else value',
        "return value",
        "test_csv_formulas::test_t07_what_begins_like_a_formula_is_text",
        "test_downloads::test_t07_no_text_is_a_formula_and_every_other_text_is_itself",
        "test_dashboard_names::test_t07_files_hold_no_formula",
    ),
    _out(
        "T7",
        "routers/forms.py",
        'return f"\'{value}" if value.startswith(FORMULA) else value',
        'return f"\'{value}"',
        "test_csv_formulas::test_t07_every_other_text_is_itself",
    ),
    # Connections that take and give nothing
    _out(
        "T27",
        LIMITS,
        "if self._each and self._of[client] >= self._each and not self._proxies.trusts(address):",
        "if False:",
        "test_connections::test_t27_surplus_connections_of_an_address_are_closed_and_no_others",
    ),
    _out(
        "T27",
        SETTINGS,
        "max_connections_per_ip: Count = 0",
        "max_connections_per_ip: Count = 50",
        "test_connections::test_t27_no_address_is_limited_by_default",
    ),
    _out(
        "T27",
        LIMITS,
        " and not self._proxies.trusts(address):",
        ":",
        "test_connections::test_t27_a_trusted_proxy_may_have_as_many_as_it_likes",
    ),
    _out(
        "T27",
        LIMITS,
        "return address if self._proxies.trusts(address) else network_of(address)",
        "return address",
        "test_connections::test_t27_of_ipv6_the_network_is_limited_and_a_proxy_in_it_is_not",
    ),
    _out(
        "T27",
        LIMITS,
        "suppressed = self._lines.allow((name, client))\n",
        "suppressed = 0\n",
        "test_connections::test_t27_lines_of_one_network_are_one_a_minute",
    ),
    _out(
        "T27",
        LIMITS,
        "if not self._of[client]:\n            del self._of[client]",
        "",
        "test_connections::test_t27_of_addresses_without_a_connection_nothing_is_kept",
    ),
    _out(
        "T27",
        LIMITS,
        "if self._most is not None and self._all >= self._most:",
        "if False:",
        "test_connections::test_t27_connections_leave_files_to_the_database_and_the_log",
    ),
    _out(
        "T27",
        LIMITS,
        "files = files_allowed()\n",
        "files = files_allowed() or 1024\n",
        "test_connections::test_t27_where_nothing_limits_files_nothing_limits_connections",
    ),
    _out(
        "T27",
        "routers/tls.py",
        'if given.get("ssl") else {}',
        'if given.get("nothing") else {}',
        "test_server_tls::test_t27_a_handshake_that_does_not_end_is_ended",
    ),
    _out(
        "T27",
        PROTOCOL,
        "self.timeout_keep_alive_task = self.loop.call_later(FIRST_REQUEST_S, self.timeout_keep_alive_handler)",
        "pass",
        "test_edges::test_t27_silence_before_the_first_request_is_ended",
    ),
    _out(
        "T27",
        PROTOCOL,
        "super().on_response_complete()\n",
        "super().on_response_complete()\n        self._unset_keepalive_if_required()\n",
        "test_edges::test_t27_silence_behind_an_answer_is_ended",
    ),
    _out(
        "T27",
        PROTOCOL,
        "self._counted = False\n",
        "self._counted = False\n        self.timeout_keep_alive = FIRST_REQUEST_S / 2\n",
        "test_edges::test_t27_a_connection_that_was_answered_may_wait_longer_than_a_new_one",
    ),
    _out(
        "T28",
        "routers/serving.py",
        '"access_log": False,\n',
        '"access_log": False,\n        "limit_concurrency": 100,\n',
        "test_connections::test_t28_idle_connections_are_no_load",
    ),
    # Names of this server, addresses of clients
    _out(
        "T30",
        EDGE,
        'if self._hosts is None or scope["path"] == LIVE or host_of(scope) in self._hosts:',
        "if self:",
        "test_addresses::test_t30_another_host_is_refused",
        "test_addresses::test_t30_a_report_to_another_host_is_refused_and_not_stored",
        "test_addresses::test_t30_without_a_host_none_is_the_right_one",
    ),
    _out(
        "T30",
        EDGE,
        ' or scope["path"] == LIVE or',
        " or",
        "test_addresses::test_t30_whoever_watches_the_process_may_call_it_anything",
    ),
    _out(
        "T30",
        SETTINGS,
        'allowed_hosts: HostNames = ["*"]',
        'allowed_hosts: HostNames = ["127.0.0.1"]',
        "test_addresses::test_t30_any_host_is_served_by_default",
    ),
    _out(
        "T30",
        "routers/answers.py",
        "path = f\"{request.scope.get('app_root_path', '')}{request.scope['path']}\"",
        'path = f"{request.url.replace(query=None)}"',
        "test_addresses::test_t30_no_answer_repeats_the_host",
    ),
    _out(
        "T31",
        "routers/clients.py",
        'for part in reversed(b",".join(forwarded).split(b",")):',
        'for part in b",".join(forwarded).split(b","):',
        "test_addresses::test_t31_the_client_is_the_first_from_the_right_that_is_no_proxy_of_ours",
    ),
    _out(
        "T31",
        "routers/clients.py",
        "if peer is None or not self.trusts(peer[0]):",
        "if peer is not None and not self.trusts(peer[0]):",
        "test_addresses::test_t31_a_socket_without_an_address_has_none",
    ),
    _out(
        "T31",
        EDGE,
        'scope["client"] = self._proxies.client(scope)',
        "pass",
        "test_addresses::test_t31_a_forwarded_address_is_the_one_of_the_log",
    ),
    _out(
        "T31",
        "deploy/nginx.conf",
        "    proxy_set_header X-Forwarded-For $remote_addr;\n",
        "",
        "test_deploy_nginx::test_t31_instance_knows_the_client_by_the_address_that_nginx_saw",
    ),
    _out(
        "T31",
        ACCESS,
        'for name in ("origin", *PROXIED))',
        'for name in ("origin",))',
        "test_addresses::test_t31_who_comes_through_a_proxy_is_not_the_machine_itself",
        "test_addresses::test_t31_nothing_is_changed_through_a_proxy_while_no_token_is_asked_for",
    ),
    _out(
        "T31",
        EDGE,
        "Proxies(server.forwarded_allow_ips) if server.forwarded_allow_ips else None",
        'Proxies(server.forwarded_allow_ips or ["0.0.0.0/0"])',
        "test_addresses::test_t31_a_forwarded_address_is_ignored_unless_its_sender_is_listed",
    ),
    # What pages of other servers make a browser do
    _out(
        "T33",
        "routers/bodies.py",
        "if not any_type:",
        "if False:",
        "test_bodies::test_t33_a_form_and_another_charset_are_refused",
        "test_bodies::test_t33_a_form_of_a_web_page_is_refused",
    ),
    _out(
        "T33",
        "routers/resources.py",
        "MAX_REPORT_BYTES, any_type=True)",
        "MAX_REPORT_BYTES)",
        "test_bodies::test_t33_the_legacy_intake_never_looks_at_the_type",
    ),
    _out(
        "T33",
        LOGIN,
        'httponly=True, samesite="strict")',
        "httponly=False)",
        "test_login::test_t33_the_cookie_is_for_the_refresh_alone_and_for_no_script",
    ),
    _out(
        "T33",
        LOGIN,
        "secure = over_tls(request)",
        "secure = False",
        "test_login::test_t33_over_tls_the_cookie_is_for_tls_alone",
    ),
    _out(
        "T33",
        "routers/origins.py",
        "if not good:",
        "if False:",
        "test_login::test_t33_a_page_of_another_server_signs_nobody_in_or_on",
        "test_login::test_t33_what_the_browser_says_of_the_page_counts",
        "test_login::test_t33_without_an_origin_a_refresh_shows_where_it_is_from",
        "test_login::test_t33_a_page_of_another_server_takes_no_cookie_away",
    ),
    # What was signed
    _out(
        "T37",
        SIGNING,
        "return seconds(now) < claims.expires",
        "return True",
        "test_people::test_t37_what_was_signed_tells_who_it_is_until_it_expires",
    ),
    _out(
        "T37",
        ACCESS,
        'SCOPES = {"viewer": "read"',
        'SCOPES = {"viewer": "admin"',
        "test_people::test_t37_roles_are_scopes_and_neither_reports",
    ),
    _out(
        "T37",
        SIGNING,
        "algorithms=[ALGORITHM]",
        'algorithms=["HS256", "HS384", "HS512"]',
        "test_people::test_t37_only_our_algorithm_counts",
    ),
    _out(
        "T37",
        SIGNING,
        '"verify_exp": False,',
        '"verify_exp": False, "verify_signature": False,',
        "test_people::test_t37_another_key_counts_for_nothing",
        "test_people::test_t37_headers_that_name_a_key_lead_nowhere",
        "test_people::test_t37_a_role_that_was_tampered_with_is_refused",
    ),
    Entry(
        "T37",
        (
            Change(SIGNING, '["iss", "aud", "sub", "sid", "role", "name", "iat", "exp"]', "[]"),
            Change(
                SIGNING,
                "    who, began, expires = payload",
                '    payload = {"sub": "7", "sid": "s", "name": "ann", "role": "admin"} | payload\n'
                '    payload = {"iat": payload.get("exp", 1_800_000_600) - 600, "exp": 1_800_000_600} | payload\n'
                "    who, began, expires = payload",
            ),
        ),
        ("test_people::test_t37_every_claim_is_required",),
    ),
    _out(
        "T37",
        SIGNING,
        "if not (texts and moments and",
        "if not (texts and",
        "test_people::test_t37_a_claim_that_we_would_not_have_made_is_refused",
    ),
    _out(
        "T37",
        SIGNING,
        'if found["header"].get("typ") == TYPE else None',
        "",
        "test_people::test_t37_another_type_of_jwt_is_refused",
    ),
    _out(
        "T37",
        SIGNING,
        "except jwt.PyJWTError:\n        return None",
        'except jwt.PyJWTError:\n        return Claims(7, "s", "ann", "viewer", 1 << 40)',
        "test_people::test_t37_what_is_no_jwt_is_nobody",
    ),
    _out(
        "T37",
        ACCESS,
        "if not credentials.signed_in(claims.user_id, claims.session_id):",
        "if not claims.user_id:",
        "test_people::test_t37_a_revoked_session_and_a_disabled_user_are_nobody",
    ),
    _out(
        "T37",
        ACCESS,
        "if key and credentials.loaded else None",
        "if key else None",
        "test_people::test_t37_before_it_is_known_who_was_signed_out_nobody_is_in",
    ),
    _out(
        "T37",
        "config/kinds.py",
        "if text is not None:\n        _require(len(text) >= MIN_SECRET",
        "if False:\n        _require(len(text) >= MIN_SECRET",
        "test_people::test_t37_a_secret_that_can_be_guessed_is_refused_without_being_shown",
    ),
    # Tokens
    _out(
        "T38",
        GATE,
        'if scope["query_string"] and SECRET.search(',
        "if not (",
        "test_access::test_t38_a_token_in_an_address_is_refused_and_not_logged",
        "test_access::test_t38_a_sign_in_in_an_address_is_refused_as_well",
    ),
    # Twice: what a line has of an address, and then the whole line.
    Entry(
        "T38",
        (
            Change("utils/token_text.py", 'text = _ANY.sub(HIDDEN, text) if "rms_" in text else text', "pass"),
            Change("utils/token_text.py", 'return _SECRET.sub("[hidden]", hide(text))', "return hide(text)"),
        ),
        ("test_access::test_t38_a_token_in_an_address_is_refused_and_not_logged",),
    ),
    _out(
        "T38",
        GATE,
        r'rb"rms_[0-9a-f]{12}_|eyJ[\w-]+\.eyJ"',
        'rb"rms_|eyJ"',
        "test_access::test_t38_a_name_that_is_no_token_may_be_searched_for",
    ),
    _out(
        "T38",
        ACCESS,
        "current = hmac.compare_digest(given, token.secret_hash if token else _NOBODY)",
        "current = token is not None and given == token.secret_hash",
        "test_tokens::test_t38_unknown_and_wrong_secrets_are_compared_alike",
    ),
    _out(
        "T38",
        ACCESS,
        "if previous and in_time else None",
        "if previous else None",
        "test_tokens::test_t38_rotation_leaves_two_good_secrets_for_a_while",
    ),
    # Passwords
    _out(
        "T39",
        "services/passwords.py",
        'NOBODY = "$argon2id$v=19$m=19456,t=2',
        'NOBODY = "$argon2id$v=19$m=64,t=1',
        "test_people::test_t39_whoever_names_no_user_waits_for_the_same_hash",
    ),
    _out(
        "T39",
        "services/passwords.py",
        "right = _verified(user.password_hash if user else NOBODY, password)",
        "right = user is not None and _verified(user.password_hash, password)",
        "test_login::test_t39_unknown_wrong_and_disabled_are_refused_alike",
    ),
    _out(
        "T39",
        LOCKOUT,
        "if failures and len(failures) >= limit:",
        "if False:",
        "test_login::test_t39_after_five_failures_even_the_password_waits",
        "test_login::test_t39_nobody_is_locked_like_somebody",
        "test_people::test_t39_five_failures_in_fifteen_minutes_are_enough",
    ),
    _out(
        "T39",
        LOGIN,
        "    try:\n        user = await db.read(users.find, person.user)\n",
        "    people.lockout.undecided(attempt)\n    try:\n        user = await db.read(users.find, person.user)\n",
        "test_login::test_t39_many_at_once_are_no_more_than_five",
    ),
    _out(
        "T39",
        LOCKOUT,
        "return Attempt(name, network_of(peer))",
        'return Attempt(name, peer or "")',
        "test_people::test_t39_another_name_or_address_is_not_locked",
        "test_people::test_t39_of_ipv6_the_network_counts",
    ),
    _out(
        "T39",
        LOCKOUT,
        "self._failures.pop(attempt, None)\n        self._take_back(_of_all(attempt))",
        "pass",
        "test_login::test_t39_a_success_forgets_the_failures",
        "test_people::test_t39_a_success_and_an_attempt_that_came_to_nothing_do_not_count",
    ),
    _out(
        "T39",
        LOCKOUT,
        "while len(self._failures) > MAX_KEYS:",
        "while False:",
        "test_people::test_t39_many_names_do_not_fill_the_memory",
    ),
    _out(
        "T39",
        LOCKOUT,
        "{attempt: LIMIT, _of_all(attempt): LIMIT_OF_ALL_NAMES}",
        "{attempt: LIMIT}",
        "test_people::test_t39_fifty_failures_of_any_names_lock_an_address",
    ),
    _out(
        "T39",
        LOCKOUT,
        "if not failures:\n            self._failures.pop(key, None)",
        "",
        "test_people::test_t39_an_attempt_that_came_to_nothing_leaves_nothing_behind",
    ),
    # Too often, too many
    _out(
        "T40",
        RATES,
        "if wait > 1e-6:",
        "if False:",
        "test_rates::test_t40_a_bucket_gives_its_burst_and_then_its_rate",
        "test_rates::test_t40_the_rate_holds_on_the_long_run",
        "test_rates::test_t40_who_comes_too_often_is_refused_and_no_one_else",
    ),
    _out(
        "T40",
        RATES,
        "now = self._clock()\n",
        'now, key = self._clock(), "everybody"\n',
        "test_rates::test_t40_each_key_has_its_own_bucket",
    ),
    _out(
        "T40",
        RATES,
        "if len(self._full_at) > self._max_keys:",
        "if False:",
        "test_rates::test_t40_of_made_up_keys_only_so_many_are_kept",
    ),
    _out(
        "T40",
        GATE,
        "principal.key if principal else network_of(peer_of(scope))",
        "principal.key if principal else peer_of(scope)",
        "test_rates::test_t40_of_ipv6_the_network_comes_too_often_and_not_its_neighbour",
    ),
    _out(
        "T40",
        GATE,
        'if rules.rate_limit_per_minute and scope["path"] not in HEALTH and',
        "if rules.rate_limit_per_minute and",
        "test_rates::test_t40_whoever_watches_the_server_is_never_refused",
    ),
    _out(
        "T40",
        SETTINGS,
        "rate_limit_per_minute: Count = 0",
        "rate_limit_per_minute: Count = 60",
        "test_rates::test_t40_there_is_no_limit_by_default",
    ),
    _out(
        "T40",
        "database/host_ids.py",
        "return sorted(names)[max(self._per_hour - len(self._moments), 0) :]",
        "return []",
        "test_rates::test_t40_hosts_are_counted_for_an_hour",
        "test_rates::test_t40_reports_of_too_many_new_hosts_are_refused_and_the_others_stored",
        "test_rates::test_t40_within_a_batch_the_others_are_stored_too",
    ),
    _out(
        "T40",
        "database/host_ids.py",
        "if not self._per_hour:\n            return []\n        while",
        "while",
        "test_rates::test_t40_any_number_of_hosts_is_new_by_default",
    ),
    # Files, time and what is no HTTP
    Entry(
        "F22",
        (
            Change(LIMITS, "if self._most is not None and self._all >= self._most:", "if False:"),
            Change(LIMITS, "loop.set_exception_handler(handle)", "del handle"),
        ),
        ("test_fault_edges::test_f22_connections_beyond_the_files_harm_no_others",),
    ),
    Entry(
        "F24",
        (
            Change(PROTOCOL, "RECEIVE_TIMEOUT_S = 10.0", "RECEIVE_TIMEOUT_S = 25.0"),
            Change(PROTOCOL, "FIRST_REQUEST_S = 10.0", "FIRST_REQUEST_S = 25.0"),
        ),
        ("test_fault_edges::test_f24_slow_and_silent_clients_are_ended_and_harm_no_others",),
    ),
    _out(
        "F32",
        EDGE,
        'if ambiguous or scope["http_version"] not in',
        'if not ambiguous and scope["http_version"] not in',
        "test_malformed_http::test_f32_t29_malformed_request_is_refused_in_the_envelope_and_disturbs_nobody",
    ),
    _out(
        "F32",
        PROTOCOL,
        "super().on_response_complete()\n",
        "self.pipeline.reverse()\n        super().on_response_complete()\n",
        "test_malformed_http::test_f32_good_requests_in_one_packet_are_answered_in_order",
    ),
    _out(
        "F32",
        PROTOCOL,
        "if before is None or before.response_complete:",
        "if True:",
        "test_malformed_http::test_f32_good_request_before_a_malformed_one_keeps_its_answer",
    ),
    _out(
        "F32",
        PROTOCOL,
        "        self._in_body = True\n        self.cycle.transport",
        "        self._in_body = True\n"
        "        self.cycle.waiting_for_100_continue = False\n"
        "        self.cycle.transport",
        "test_malformed_http::test_f32_expect_100_continue_gets_it_and_then_the_answer",
    ),
    _out(
        "F32",
        "routers/bodies.py",
        "if announced.isdecimal() and int(announced[:20]) > limit:",
        "if False:",
        "test_malformed_http::test_f32_expect_100_continue_is_refused_without_reading_when_too_large",
    ),
    _out(
        "F32",
        "routers/errors.py",
        "        except ClientDisconnect:\n            return\n",
        "",
        "test_malformed_http::test_f32_client_that_leaves_early_is_no_bug",
    ),
)
