"""People who sign in to a service under test."""

import httpx

from tests.console import manage
from tests.service import Service

PASSWORD = "correct horse battery"
# What every instance of a test on a database server is given.
SECRET = "b5c1f07e93d84a6b0e2f7d9ca81534e6"
COOKIE = "resource_monitor_refresh"


def person(url: str, name: str, role: str = "viewer", password: str = PASSWORD) -> str:
    """Lets somebody in; gives the name."""
    done = manage(url, "user", "create", name, "--role", role, "--password-stdin", typed=f"{password}\n")
    assert done.status == 0, done.words
    return name


def login(service: Service, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    """Signs in by JSON."""
    return service.post({"user": name, "password": password}, "/api/login", **headers)


def jwt_of(answer: httpx.Response) -> str:
    """What was signed."""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["access_token"])


def cookie_of(answer: httpx.Response) -> str:
    """The cookie's value."""
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    assert name == COOKIE
    return str(value)


def refresh(service: Service, cookie: str | None, **headers: str) -> httpx.Response:
    """Asks as a page of the service does; the client's own cookies stay out of it."""
    service.client.cookies.clear()
    sent = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
    return service.client.post("/api/login/refresh", headers={"Origin": service.url, **sent, **headers})
