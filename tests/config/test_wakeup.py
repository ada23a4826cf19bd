"""Wake-ups are hints: few of them say as much as many."""

from kombu import pools

from config import wakeup
from config.celery import app


def test_wake_ups_do_not_pile_up_while_no_worker_runs(tmp_path, monkeypatch):
    folder = tmp_path / "messages"
    folder.mkdir()
    options = {"data_folder_in": str(folder), "data_folder_out": str(folder), "control_folder": tmp_path / "control"}
    monkeypatch.setitem(app.conf, "broker_transport_options", options)
    _forget_connections()
    try:
        for _ in range(3 * wakeup.ENOUGH):
            wakeup.drain()
        assert len(list(folder.glob("*.msg"))) == wakeup.ENOUGH
    finally:
        _forget_connections()


def _forget_connections() -> None:
    pools.reset()
    app._after_fork()
