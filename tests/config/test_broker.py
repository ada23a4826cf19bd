"""Messages as files: whole or not at all."""

import multiprocessing
import time
from pathlib import Path

import pytest
from kombu import Connection, Queue

COUNT = 1500
QUEUE = Queue("jobs", routing_key="jobs")


def connect(folder: Path) -> Connection:
    places = {"data_folder_in": str(folder / "messages"), "data_folder_out": str(folder / "messages")}
    return Connection(
        "filesystem://localhost",
        transport="config.broker:Transport",
        transport_options={"polling_interval": 0.0005, **places, "control_folder": folder / "control"},
    )


def publish(folder: Path) -> None:
    with connect(folder) as connection:
        producer = connection.Producer()
        for number in range(COUNT):
            producer.publish(
                {"number": number, "filler": "x" * 2000}, exchange=QUEUE.exchange, routing_key="jobs", declare=[QUEUE]
            )
            time.sleep(0.0002)


@pytest.mark.processes
def test_a_reader_that_never_rests_sees_every_message_whole(tmp_path):
    """With kombu's own transport a dozen of these 3,000 come empty, each of which would end a worker."""
    for name in ("messages", "control"):
        (tmp_path / name).mkdir()
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=publish, args=(tmp_path,)) for _ in range(2)]
    got = []

    def keep(body, message):
        got.append(body["number"])
        message.ack()

    with connect(tmp_path) as connection, connection.Consumer([QUEUE], callbacks=[keep], accept=["json"]):
        for writer in writers:
            writer.start()
        while len(got) < 2 * COUNT:
            connection.drain_events(timeout=20)
    for writer in writers:
        writer.join()
    assert sorted(got) == sorted([*range(COUNT), *range(COUNT)])
    assert list((tmp_path / "messages").iterdir()) == []
