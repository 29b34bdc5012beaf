"""Made-up secrets are put together at run time, so that no scanner of this repository takes them for real ones."""

import string
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.runtime.redact import redacted, redacted_bytes, without

BASE62 = "q7Zt2Lm9Xc4Vb8Nn1Kj6Hg3Fd5Sa0PoIuYtReWq"
HEX = "9f86d081884c7d659a2feaa0c55ad015"
PEM = "-----BEGIN {0} KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 3 + "-----END {0} KEY-----"

SHAPES = {
    "AKIA" + "IOSFODNN7EXAMPLE": "aws",
    "ghp_" + BASE62[:36]: "github",
    "github_pat_" + BASE62[:30]: "github",
    "glpat-" + BASE62[:20]: "gitlab",
    "xoxb-" + "123456789012-" + BASE62[:24]: "slack",
    "sk_live_" + BASE62[:24]: "stripe",
    "sk-proj-" + BASE62: "api-key",
    "sk-ant-api03-" + BASE62: "api-key",
    "AIza" + BASE62[:35]: "google",
    "npm_" + BASE62[:36]: "npm",
    "hf_" + BASE62[:34]: "hugging-face",
    "eyJ" + f"hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{BASE62}": "jwt",
    PEM.format("RSA PRIVATE"): "private-key",
    PEM.format("PRIVATE"): "private-key",
    PEM.format("OPENSSH PRIVATE").replace("\n", "\\n"): "private-key",
}


@pytest.mark.parametrize("secret", SHAPES)
@pytest.mark.parametrize("around", ["{}", "x {}\n", '{{"a": "{}"}}', "key={},", "a\t{};b"])
def test_a_token_is_known_by_its_shape(secret: str, around: str) -> None:
    """Wherever it stands; what stands around it stays."""
    assert redacted(around.format(secret)) == around.format(f"[redacted:{SHAPES[secret]}]")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://me:hunter2@host/x", "https://me:[redacted:password]@host/x"),
        ("postgres://u:p%40ss@db:5432/x", "postgres://u:[redacted:password]@db:5432/x"),
        (f"Authorization: Bearer {HEX}", "Authorization: Bearer [redacted:authorization]"),
        (f'"authorization": "Basic {BASE62}="', '"authorization": "Basic [redacted:authorization]"'),
        (f"PASSWORD={HEX}\n", "PASSWORD=[redacted:password]\n"),
        (f"db_password: '{BASE62[:16]}'", "db_password: '[redacted:password]'"),
        (f'AWS_SECRET_ACCESS_KEY="{BASE62}"', 'AWS_SECRET_ACCESS_KEY="[redacted:access-key]"'),
        (f'{{\\"api_key\\": \\"{HEX}\\"}}', '{\\"api_key\\": \\"[redacted:api-key]\\"}'),
        (f"const accessToken = `{BASE62}`;", "const accessToken = `[redacted:token]`;"),
    ],
)
def test_a_value_is_known_by_its_name(text: str, clean: str) -> None:
    """The name stays: a reader sees that something was there."""
    assert redacted(text) == clean


@pytest.mark.parametrize(
    "harmless",
    [
        "password = os.environ['PASSWORD_OF_DB_2']",
        "token = secrets.token_hex(16)",
        "token: CancellationToken2 = new_token_for_user_1",
        'password = "hunter2"',
        'token = "test-token-for-user-1"',
        "max_tokens: 1234567890123",
        "Authorization: Bearer {token}",
        "curl https://me:$PASSWORD@host https://me:%s@host http://[::1]:80/@x",
        f"commit {HEX}01234567",
        f"sha256:{HEX}{HEX}",
        ".sk-folding-cube-with-many-words-in-its-name { }",
        'if "-----BEGIN PRIVATE KEY-----" in text: raise ValueError("a private key, which no file here may hold")',
        "eyJhbGci.eyJ",
        f"task-{HEX} of s-{HEX}",
        f"moot/task-{BASE62}-npm_{BASE62[:30]}",
        "AKIA",
    ],
)
def test_what_people_write_stays(harmless: str) -> None:
    """An agent edits the files that it was shown: a value that is hidden without need breaks its edit."""
    assert redacted(harmless) == harmless


def test_known_secrets_go_wherever_they_stand() -> None:
    """A key of the platform's own has no shape that anybody could count on."""
    assert redacted("a.b+c, then a.b+c", "a.b+c") == "[redacted:key], then [redacted:key]"
    assert without(f"a.b and ghp_{BASE62}", "a.b", "") == f"[redacted:key] and ghp_{BASE62}"


def test_overlapping_secrets_leave_nothing() -> None:
    """A token behind a name, in a URL: one replacement, and no rest of either."""
    token = "ghp_" + BASE62[:36]
    assert redacted(f'token = "{token}"') == 'token = "[redacted:github]"'
    assert BASE62[:36] not in redacted(f"https://x:{token}@github.com")


def test_bytes_that_are_no_text_stay() -> None:
    """Test output may be anything."""
    assert redacted_bytes(b"\xff\x00 ghp_" + BASE62[:36].encode()) == b"\xff\x00 [redacted:github]"


PIECES = st.sampled_from([*SHAPES, "password=", "token: ", "://u:", "@", HEX, "eyJ", "ghp_", "-----BEGIN ", " ", "é"])


@given(st.lists(PIECES | st.text(string.printable, max_size=20), max_size=30).map(" ".join))
def test_redacting_twice_changes_nothing(text: str) -> None:
    """What was replaced is no secret; the projection and the tools may both have seen a text."""
    once = redacted(text)
    assert redacted(once) == once
    assert not any(f" {secret} " in f" {once} " for secret in SHAPES)


HOSTILE = [
    *("eyJ-", "eyJa.", "token=", "password: ", "xoxb-", "://a:b", "://", "sk-a1", "authorization: bearer ", "ghp_"),
    *("glpat-a", "ya29.", "hooks.slack.com/services/", "a1", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----a"),
    "-----BEGIN A PRIVATE KEY-----\n\nComment: a",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """Eight times the text: far below the 64 times of a quadratic search, whatever the machine does meanwhile."""
    small, large = (piece * (size // len(piece)) for size in (25_000, 200_000))
    assert min(_seconds(large) for _ in range(3)) < 30 * min(_seconds(small) for _ in range(5)) + 0.01


def _seconds(text: str) -> float:
    began = process_time()
    redacted(text)
    return process_time() - began
