"""Which variables a study wants, and that nothing of what they hold is ever said."""

from typing import Any

from jobs.doctor.found import Found
from jobs.doctor.keys import driver_keys, endpoint_keys, keys, missing, node_keys
from truing.config.study import Study

URL = "https://judge.example/v1"


def endpoint(**more: Any) -> dict[str, Any]:
    return {"kind": "endpoint", "model": "m", "url": URL, **more}


def study(**given: Any) -> Study:
    return Study.model_validate({"name": "x", **given})


def test_endpoints_are_found_wherever_they_stand() -> None:
    ensemble = {"kind": "ensemble", "members": [endpoint(key_variable="A"), {"kind": "engine"}]}
    part = {"kind": "ai_score", "labeler": endpoint(key_variable="B")}
    policy = {"kind": "endpoint", "name": "p", "endpoint": endpoint(key_variable="C")}
    found = study(labeler=ensemble, policy={"rewards": [part]}, evaluate={"grid": {"policies": [policy]}})
    assert endpoint_keys(found) == {"A": URL, "B": URL, "C": URL}
    assert endpoint_keys(study()) == {}


def test_a_server_of_this_machine_wants_no_key() -> None:
    for host in ("127.0.0.1:8000", "localhost", "[::1]:80"):
        assert endpoint_keys(study(labeler=endpoint(url=f"http://{host}/v1"))) == {}


def test_a_key_that_is_not_set() -> None:
    wanted = endpoint_keys(study(labeler=endpoint()))
    absent = missing(wanted, {"OPENAI_API_KEY": "  "})
    assert keys(wanted, absent) == Found(
        "keys", "failed", f"OPENAI_API_KEY is not set, and {URL} wants a key: set it where `truing` is started"
    )


def test_what_a_key_holds_is_not_said() -> None:
    wanted = endpoint_keys(study(labeler=endpoint()))
    absent = missing(wanted, {"OPENAI_API_KEY": "hush-hush"})
    assert keys(wanted, absent) == Found("keys", "ok", "OPENAI_API_KEY set")
    assert keys({}, ()) == Found("keys", "ok", "none is wanted")


def test_online_tracking_wants_its_key() -> None:
    wanted = driver_keys(study(trackers=[{"kind": "wandb", "mode": "online"}]))
    assert keys(wanted, missing(wanted, {})).line == (
        "WANDB_API_KEY is not set, and Weights & Biases wants a key: set it where `truing` is started"
    )
    assert driver_keys(study(trackers=[{"kind": "wandb"}])) == {}


def test_a_key_that_a_node_does_not_have() -> None:
    wanted = {"OPENAI_API_KEY": URL}
    assert node_keys(wanted, {"10.0.0.1 (ab)": (), "10.0.0.2 (cd)": ("OPENAI_API_KEY",)}) == Found(
        "keys of nodes",
        "failed",
        f"OPENAI_API_KEY is not set on 10.0.0.2 (cd), where workers for {URL} may run: set it there before `ray start`",
    )
    assert node_keys(wanted, {"10.0.0.1 (ab)": ()}).state == "ok"
