"""Secrets come from the environment alone: a study that holds one is refused, and no message shows it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from truing.config.load import load_study
from truing.config.study import Study
from truing.errors import ConfigError

HF, API, AWS = "hf" + "_aBcDeFgHiJkLmNoPqRsT", "sk" + "-proj-aB3dEfGhIjKlMnOp", "AKIA" + "ABCDEFGHIJKLMNOP"
HEX = "0123456789abcdef" * 2
LABELER = "labeler: {kind: endpoint, model: m, "


def refusal(folder: Path, text: str, *overrides: str) -> str:
    path = folder / "study.yaml"
    path.write_text(f"name: a\n{text}", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_study(path, list(overrides))
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


OF_LABELER = "leave it out and set OPENAI_API_KEY: labeler.key_variable names the variable"
OF_TRACKERS = "leave it out and set WANDB_API_KEY, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
OF_STORAGE = "leave it out: storage reads AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the Hub HF_TOKEN"
OF_SERVE = "put it into an environment variable and name that in serve.token_variable"
A_NAME = "give the name of the environment variable, not what it holds"
PASSWORD = "an address with a password"
A_KEY = "an address with a key in it"


def set_instead(variable: str) -> str:
    return f"leave it out and set the environment variable {variable} where the job is started"


@pytest.mark.parametrize(
    ("text", "secret", "where", "kind", "remedy"),
    [
        (f"model: {{path: '{HF}'}}", HF, "model.path", "a Hugging Face token", set_instead("HF_TOKEN")),
        (f"{LABELER}url: 'https://h/v1/{API}'}}", API, "labeler.url", "an API key", OF_LABELER),
        (f"{LABELER}key_variable: {API}}}", API, "labeler.key_variable", "an API key", A_NAME),
        (f"{LABELER}url: 'https://me:hush@h/v1'}}", "hush", "labeler.url", PASSWORD, OF_LABELER),
        ("storage: 's3://me:hush@bucket/runs'", "hush", "storage", PASSWORD, OF_STORAGE),
        ("storage: 's3://bucket/runs?region=x&secret_key=hush'", "hush", "storage", A_KEY, OF_STORAGE),
        ("storage: 'abfs://c@a.example/runs?sig=hush'", "hush", "storage", A_KEY, OF_STORAGE),
        (
            f"label: {{templates: {{'{AWS}': helpful}}}}",
            AWS,
            "label.templates",
            "an AWS key",
            set_instead("AWS_ACCESS_KEY_ID"),
        ),
        (f"trackers: [{{kind: wandb, project: '{API}'}}]", API, "trackers.0.project", "an API key", OF_TRACKERS),
        (f"serve: {{score_template: 'Bearer {HEX}'}}", HEX, "serve.score_template", "a bearer token", OF_SERVE),
    ],
)
def test_a_secret_is_refused_with_its_place_and_the_variable(
    tmp_path: Path, text: str, secret: str, where: str, kind: str, remedy: str
):
    message = refusal(tmp_path, text)
    assert message == f"{where}: holds {kind}, and a study is stored beside its results; {remedy}"
    assert secret not in message


def test_an_override_is_no_way_round(tmp_path: Path):
    assert refusal(tmp_path, "", f"model.path={HF}").startswith("model.path: holds a Hugging Face token, ")


def test_what_a_secret_variable_holds_is_refused_whatever_it_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_API_KEY", HEX)
    message = refusal(tmp_path, f"trackers: [{{kind: wandb, project: {HEX}}}]")
    assert message.startswith("trackers.0.project: holds the value of the environment variable WANDB_API_KEY, ")


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (f"seed: '{API}'", ()),
        (f"nmae: '{API}'", ()),
        (f"model: {{revision: ['{HF}']}}", ()),
        (f"x: [{API}", ()),
        ("", (f"model.path: {HF}",)),
        ("", (f"model.path=[{HF}",)),
        (f"serve: {{token_variable: '{HEX}'}}", ()),
        (f"serve: {{token_variable: 'x-{HEX}'}}", ()),
    ],
)
def test_no_other_complaint_shows_it(tmp_path: Path, text: str, overrides: tuple[str, ...]):
    message = refusal(tmp_path, text, *overrides)
    assert not any(secret in message for secret in (API, HF, HEX))


def test_no_recipe_is_taken_for_a_secret(tmp_path: Path):
    study = Study(name="a", model={"path": "org/model", "revision": "0123456789abcdef0123456789abcdef01234567"})
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study.model_dump(mode="json")))
    assert load_study(path, []) == study


# --- who may reach the endpoint ------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_loopback_needs_no_token(tmp_path: Path, host: str):
    path = tmp_path / "study.yaml"
    path.write_text("name: a")
    assert load_study(path, [f"serve.host='{host}'"]).serve.token_variable is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "labeler.example", "::ffff:192.0.2.7"])
def test_any_other_host_needs_a_token_or_a_word(tmp_path: Path, host: str):
    assert refusal(tmp_path, f"serve: {{host: '{host}'}}") == (
        f"serve: host {host} can be reached from other machines, and no token is asked for; set token_variable to the name of an"
        " environment variable that holds one (`openssl rand -hex 32` makes one), or without_token=true behind a proxy that"
        " asks for one"
    )
    path = tmp_path / "study.yaml"
    path.write_text("name: a")
    for word in ("serve.token_variable=MY_TOKEN", "serve.without_token=true"):
        assert load_study(path, [f"serve.host='{host}'", word]).serve.host == host


@given(name=st.text(alphabet="aZ_0- é", min_size=1, max_size=5))
def test_a_variable_has_a_name(name: str):
    fits = name.isascii() and name.isidentifier()
    if fits:
        assert Study(name="a", serve={"token_variable": name}).serve.token_variable == name
    else:
        with pytest.raises(ValueError, match="give the name, not the token"):
            Study(name="a", serve={"token_variable": name})
