import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from truing.redaction import MASK, Secret, redacted, secret_in, secret_variables

HEX = "0123456789abcdef" * 4
# Put together here, so that no scanner of this repository takes a test for a leak.
HF, API, AWS = "hf" + "_aBcDeFgHiJkLmNoPqRsT", "sk" + "-proj-aB3dEfGhIjKlMnOp", "AKIA" + "ABCDEFGHIJKLMNOP"
GITHUB, GOOGLE = "ghp" + "_0123456789abcdefghijABCDEFGHIJ", "AIza" + "SyA0123456789abcdefghijklmnopqrst"
SIGNED = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
PRIVATE = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIB\nAAAA==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "shown", "kind"),
    [
        (f"401 for {HF}.", f"401 for {MASK}.", "a Hugging Face token"),
        (f"key={API},", f"key={MASK},", "an API key"),
        (f"'{AWS}'", f"'{MASK}'", "an AWS key"),
        (f"token {GITHUB}", f"token {MASK}", "a GitHub token"),
        (f"?key={GOOGLE}", f"?key={MASK}", "a Google API key"),
        (f"jwt {SIGNED}!", f"jwt {MASK}!", "a signed token"),
        (f"{PRIVATE}\nend", f"{MASK}\nend", "a private key"),
        (f"Authorization: Bearer {HEX}", f"Authorization: Bearer {MASK}", "a bearer token"),
        ("authorization: bearer abc.def-1~", f"authorization: bearer {MASK}", "a bearer token"),
        ("at https://me:hush@host/x?y", f"at https://{MASK}@host/x?y", "an address with a password"),
        ("s3://k:s/t@b", "s3://k:s/t@b", None),
        (
            "s3://b/p?region=x&Access_Key=ab/c%2B&z=1",
            f"s3://b/p?region=x&Access_Key={MASK}&z=1",
            "an address with a key in it",
        ),
        ("'abfs://b/p?sig=abc'", f"'abfs://b/p?sig={MASK}'", "an address with a key in it"),
        ("postgres+psycopg://me:p:w@db/x", f"postgres+psycopg://{MASK}@db/x", "an address with a password"),
    ],
)
def test_known_shapes_are_masked_and_named(text: str, shown: str, kind: str | None):
    assert redacted(text, {}) == shown
    found = secret_in(text, {})
    assert (found and found.kind) == kind


@pytest.mark.parametrize(
    "text",
    [
        "", "sk-learn", "a risk-assessment-of-2026-and-later", "the bearer of bad news", "Bearer certificates are old.",
        "https://api.openai.com/v1", "http://127.0.0.1:8000/v1", "mailto:me@host", "see http://host:80/a and b@c",
        "/models/hf_model", "OPENAI_API_KEY", "HF_TOKEN", HEX, "runs/AKIA", "s3://bucket/key@2", "ask-2-people-for-a-view-of-it",
        "s3://b/p?endpoint_override=http://127.0.0.1:5000&scheme=http", "gs://b?key", "what? key=3", "?keys=3", "?signal=3",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_left_alone(text: str):
    assert redacted(text, {}) == text
    assert secret_in(text, {}) is None


def test_a_variable_is_secret_by_its_name_and_length():
    environment = {
        "OPENAI_API_KEY": "longenough1", "DB_PASSWORD": "hunter2hunter2", "MY_SECRET_THING": "x" * 8, "GITHUBTOKEN": "y" * 9,
        "tokens": "z" * 8, "SHORT_KEY": "1234567", "TOKENIZERS_PARALLELISM": "false-or-true", "A_TOKEN_PATH": "/etc/a-token",
        "HOME": "/home/somebody", "KEYBOARD": "qwertyuiop",
    }  # fmt: skip
    assert set(secret_variables(environment)) == {
        "OPENAI_API_KEY", "DB_PASSWORD", "MY_SECRET_THING", "GITHUBTOKEN", "tokens",
    }  # fmt: skip


def test_of_two_values_the_longer_is_masked_first():
    environment = {"A_KEY": "abcdefgh", "B_KEY": "abcdefghijkl"}
    assert redacted("abcdefghijkl abcdefgh", environment) == f"{MASK} {MASK}"


def test_the_line_end_of_a_value_that_was_read_from_a_file_is_not_part_of_it():
    assert redacted("<abcdefgh>", {"A_KEY": "abcdefgh\n"}) == f"<{MASK}>"


def test_this_process_environment_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OF_A_TEST_TOKEN", "no-shape-at-all")
    assert redacted("<no-shape-at-all>") == f"<{MASK}>"
    assert secret_in("no-shape-at-all") == Secret(
        "the value of the environment variable OF_A_TEST_TOKEN", "OF_A_TEST_TOKEN"
    )


def test_a_short_value_inside_a_text_is_a_word():
    assert secret_in("production", {"A_KEY": "production"}) is not None
    assert secret_in("a production run", {"A_KEY": "production"}) is None
    assert secret_in(f"x{HEX}x", {"A_KEY": HEX}) == Secret("the value of the environment variable A_KEY", "A_KEY")


WORDS = st.text(alphabet=string.ascii_letters + string.digits + "-_.:/@ \n", max_size=40)
SECRETS = st.text(alphabet=string.ascii_letters + string.digits + "-_.", min_size=8, max_size=40)


@given(before=WORDS, after=WORDS, secret=SECRETS)
def test_no_value_of_a_secret_variable_is_left(before: str, after: str, secret: str):
    shown = redacted(f"{before}{secret}{after}", {"X_TOKEN": secret})
    assert secret not in shown
    assert MASK in shown


@given(
    text=st.lists(
        WORDS | SECRETS | st.sampled_from([HF, API, AWS, GITHUB, GOOGLE, SIGNED, PRIVATE, "Bearer ", "://a:b@"])
    )
)
def test_masking_twice_is_masking_once_and_leaves_nothing_to_be_found(text: list[str]):
    once = redacted("".join(text), {})
    assert redacted(once, {}) == once
    assert secret_in(once, {}) is None


@given(text=st.text(), secret=SECRETS)
def test_a_text_without_a_secret_is_not_touched(text: str, secret: str):
    assume(secret not in text and secret_in(text, {}) is None)
    assert redacted(text, {"X_TOKEN": secret}) == text


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "bearer ",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "http://a:",
        "eyJaaaaaaaaa.",
        "A" * 19,
        "?a",
        "?key=",
        "&sig=abc",
    ],
)
def test_a_long_text_is_read(piece: str):
    # A pattern that goes back over what it has read would not come to an end here.
    text = piece * 20_000
    assert len(redacted(text, {})) <= len(text)
