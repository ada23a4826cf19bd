"""`manage.py up` as a program: what it says, and that it leaves nothing behind."""

import signal
import socket
import subprocess
import sys

import pytest
import requests

from tests.flows.system import ROOT, System, running

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("up")]


def descendants(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listing.splitlines()]
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        children = [child for child, of in parents if of == parent]
        found += children
        queue += children
    return found


def alive(pids: list[int]) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    running_now = {int(pid) for pid, state in (line.split() for line in listing.splitlines()) if "Z" not in state}
    return [pid for pid in pids if pid in running_now]


def test_it_says_where_everything_is_and_ctrl_c_ends_all_of_it(tmp_path):
    with running(tmp_path, "sqlite") as system:
        system.wait_until(lambda: len(descendants(system.process.pid)) >= 6, seconds=30, what="all the processes")
        said = system.said()
        assert f"http://localhost:{system.port}/admin/integrations" in said
        assert f"http://127.0.0.1:{system.port + 1}/" in said
        assert "flow-test-password" not in said
        everyone = descendants(system.process.pid)
        system.process.send_signal(signal.SIGINT)
        assert system.process.wait(30) == 0
        assert alive(everyone) == []
        assert system.said().rstrip().endswith("stopped")


def test_the_first_admin_can_sign_in_with_the_password_that_is_printed_once(tmp_path):
    system = System(tmp_path, {"SANDBOX": "0"})
    del system.env["DJANGO_SUPERUSER_PASSWORD"]
    system.start()
    try:
        line = next(line for line in system.said().splitlines() if "Sign in" in line)
        password = line.split("/")[1].split()[0]
        session = requests.Session()
        page = session.get(f"{system.url}/accounts/login/", timeout=10).text
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        form = {"csrfmiddlewaretoken": token, "login": "admin", "password": password}
        landed = session.post(f"{system.url}/accounts/login/", form, headers={"Referer": system.url}, timeout=10)
        assert landed.url == f"{system.url}/admin/integrations"
        assert "Sandbox" not in line
    finally:
        system.stop()
    system.start()
    system.stop()
    assert system.said().count("Sign in") == 1


def test_a_taken_port_is_one_clear_line(tmp_path):
    system = System(tmp_path, {"SANDBOX": "0"})
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "up", "--port", str(port)],
            cwd=ROOT, env=system.env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"CommandError: Port {port} is taken by another program. Choose another: make run PORT=8080"
    )


def test_a_child_that_dies_is_started_again_and_that_is_said(tmp_path):
    with running(tmp_path, "sqlite") as system:
        killed = system.kill_child("granian")
        system.wait_until(lambda: system.child("granian") not in (0, killed), seconds=20, what="a new web server")
        system.wait_until(lambda: requests.get(f"{system.url}/healthz", timeout=2).ok, seconds=20, what="its answer")
        assert "web ended (killed by SIGKILL); starting it again in" in system.said()
