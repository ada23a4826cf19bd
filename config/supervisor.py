"""A few child processes under one parent: started together, restarted when they die, ended together."""

import ctypes
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

STEADY_SECONDS = 60.0
LONGEST_PAUSE = 30.0
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """One process to keep alive. `pause` doubles with each early death, so that a broken one doesn't spin."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    pause: float = 1.0
    start_again_at: float = field(default=0.0)


class Supervisor:
    """`say` gets one line for each thing worth telling."""

    def __init__(self, *, say: Callable[[str], None], grace_seconds: float = 12.0) -> None:
        self._say, self._grace = say, grace_seconds
        self._children: list[Child] = []
        self._stopping = False

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Child:
        child = Child(name, command, env)
        self._children.append(child)
        self._spawn(child)
        return child

    def run(self) -> None:
        """Watch until SIGINT or SIGTERM, then end all children; a second signal ends them at once."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        while not self._stopping:
            for child in self._children:
                self._look_after(child)
            time.sleep(0.2)
        self.end()

    def end(self) -> None:
        """Ask every child to stop, wait for the grace period, then kill what is left."""
        alive = [child.process for child in self._children if child.process and child.process.poll() is None]
        for process in alive:
            with suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + self._grace
        for process in alive:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in alive:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _look_after(self, child: Child) -> None:
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            steady = time.monotonic() - child.started_at > STEADY_SECONDS
            child.pause = 1.0 if steady else min(child.pause * 2, LONGEST_PAUSE)
            child.process, child.start_again_at = None, time.monotonic() + child.pause
            self._say(f"{child.name} ended ({_how(code)}); starting it again in {child.pause:.0f} s")
        elif time.monotonic() >= child.start_again_at:
            self._spawn(child)
            self._say(f"{child.name} is running again")

    def _spawn(self, child: Child) -> None:
        child.started_at = time.monotonic()
        # A session of its own: Ctrl-C in the terminal reaches the parent alone, which then ends the others in order.
        child.process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            child.command,
            env=dict(child.env),
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    def _stop(self, number: int, frame: object) -> None:
        if self._stopping:
            for child in self._children:
                if child.process and child.process.poll() is None:
                    child.process.kill()
        self._stopping = True


def _die_with_parent() -> None:
    """On Linux a parent that is killed outright takes its children along; elsewhere they live on."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
