from pathlib import Path

import pytest

from tests.logs import wait_until
from tests.service import Service, running, settings_for
from utils.networks import network_of

pytestmark = pytest.mark.security


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", "no address"),
        ("", ""),
        (None, ""),
    ],
)
def test_of_ipv6_the_network_is_one_client(peer: str | None, network: str) -> None:
    assert network_of(peer) == network


def test_refusals_of_one_network_are_one_line_a_minute(tmp_path: Path) -> None:
    given = {"SERVER_FORWARDED_ALLOW_IPS": "127.0.0.1"}
    with running(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, **given)) as service:
        for number in range(1, 4):
            _refused(service, f"2001:db8::{number}")
        _refused(service, "2001:db8:0:1::1")
        wait_until(lambda: "peer=2001:db8:0:1::1" in service.log)
        assert service.log.count(" refused code=") == 2


def _refused(service: Service, address: str) -> None:
    assert service.client.get("/nothing", headers={"X-Forwarded-For": address}).status_code == 404
