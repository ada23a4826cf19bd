"""Ten minutes of hostile deliveries: the property of `tests/webhooks/test_hostile.py`, over and over."""

import os
import subprocess
import sys

SECONDS = 600


def test_ten_minutes_of_hostile_deliveries():
    env = {**os.environ, "HOSTILE_SECONDS": str(SECONDS), "TEST_ENGINE": "postgresql"}
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-n", "0", "tests/webhooks/test_hostile.py"]
    subprocess.run(command, env=env, check=True)
