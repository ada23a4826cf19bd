"""Two web processes, one person, one limit: counted in Redis."""

import json
import os
import subprocess
import sys
import uuid

import pytest

from tests import services
from tests.flows.system import ROOT

pytestmark = [pytest.mark.processes, pytest.mark.redis]

ASK = """
import json, sys
from types import SimpleNamespace
import django
django.setup()
from django.test import RequestFactory
from rest_framework.request import Request
from integrations.api.limits import PerUser

print("ready", flush=True)
sys.stdin.readline()
told = []
for _ in range(40):
    request = Request(RequestFactory().get("/"))
    request.user = SimpleNamespace(pk=sys.argv[1])
    throttle = PerUser()
    allowed = throttle.allow_request(request, None)
    told.append([allowed, request._request.rate_limit_headers["RateLimit-Remaining"], throttle.wait()])
print(json.dumps(told))
"""


def test_what_one_process_allowed_the_other_counts():
    services.need(services.redis(), "Redis")
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings", "REDIS_URL": services.REDIS_URL, "API_READ_RATE": "50/h",
    }  # fmt: skip
    person = uuid.uuid4().hex
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, person], cwd=ROOT, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [answer for process in processes for answer in json.loads(process.communicate(timeout=60)[0])]
    assert sum(allowed for allowed, _, _ in told) == 50
    assert sorted(int(left) for _, left, _ in told) == sorted([0] * 31 + list(range(1, 50)))
    assert all(0 < wait <= 3600 for _, _, wait in told)
