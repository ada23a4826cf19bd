"""Whose address it is."""

import pytest

from integrations.actor import client_ip

PROXIES = ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        (
            "203.0.113.9",
            "198.51.100.1",
            "203.0.113.9",
        ),  # the peer is no proxy of ours: the header is its own invention
        ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "1.2.3.4, 198.51.100.1", "198.51.100.1"),  # whatever stands to the left was written by the caller
        ("10.0.0.2", "198.51.100.1, 10.0.0.3", "198.51.100.1"),
        ("10.0.0.2", "nonsense", "10.0.0.2"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("", "", None),
    ],
)
def test_a_forwarded_address_is_believed_only_from_our_own_proxies(peer, forwarded_for, expected):
    assert client_ip(peer, forwarded_for, PROXIES) == expected
