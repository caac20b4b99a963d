"""What the trackers stored, read back by the packages' own readers; of W&B's folder, by the format."""

import json
import struct
from pathlib import Path
from typing import Any


def scalars(stage: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(stage / "trackers" / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return [(one.step, one.value) for one in read.Scalars(name)]


def stored_runs(stage: Path, uri: str = "") -> tuple[Any, list[Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri or f"sqlite:///{stage / 'trackers' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("truing")
    return client, list(client.search_runs([experiment.experiment_id]))


def metric(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)]


def history(stage: Path) -> list[dict[str, Any]]:
    """History rows of the one offline folder: protobuf records in LevelDB's log format, after a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (folder,) = (stage / "trackers" / "wandb" / "wandb").glob("offline-run-*")
    (path,) = folder.glob("*.wandb")
    stored, at, whole, rows = path.read_bytes(), 7, b"", []
    while at + 7 <= len(stored):
        if 32768 - at % 32768 < 7:  # no header fits into the rest of a block
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", stored, at)
        whole += stored[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # a whole record, or the last part of one
            record, whole = Record.FromString(whole), b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
    return rows
