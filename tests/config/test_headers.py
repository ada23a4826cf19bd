"""What every answer carries."""

import pytest

pytestmark = pytest.mark.django_db

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/accounts/login/", "/admin/integrations", "/api/admin/integrations", "/api/nothing", "/nothing"],
)
def test_every_answer_is_guarded(client, path):
    headers = client.get(path).headers
    assert {name: headers[name] for name in ALWAYS} == ALWAYS
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "no-store" in headers["Cache-Control"]
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["X-Request-ID"]


def test_the_request_id_of_a_proxy_is_kept_if_it_is_sane(client):
    assert client.get("/healthz", headers={"X-Request-ID": "abc-123.def"}).headers["X-Request-ID"] == "abc-123.def"
    for forged in ("x", "a b", 'a"\nb', "y" * 65):
        assert client.get("/healthz", headers={"X-Request-ID": forged}).headers["X-Request-ID"] != forged
