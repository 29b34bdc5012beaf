"""What an environment is made from and where its set-up may connect to: keys, hosts, images."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.runner import basetree, repoconfig
from folkmoot.runner.environment import hosts, profile, sets, wanted
from folkmoot.runner.environment.config import Environment
from folkmoot.runner.environment.hosts import Host, Policy
from folkmoot.runner.environment.store import policy_of
from folkmoot.runner.environment.wanted import File, Unusable, Wanted
from folkmoot.runner.kubernetes.images import images
from folkmoot.runtime.settings import RunnerSettings

SETUP = Environment(setup="sh tools/up.sh && uv sync", lock=("data/*.csv",))
DIGEST = f"@sha256:{'a' * 64}"


def tree(*paths: str, **changed: str) -> dict[str, File]:
    """Base's files; `changed` are contents by name without dots."""
    return {p: File(p, changed.get(p.partition(".")[0], "0"), False, 10) for p in paths}


FILES = tree(
    "uv.lock", "tools/up.sh", "data/a.csv", "src/a.py", "sub/requirements-dev.txt", "x/node_modules/package.json"
)


def key(
    config: Environment = SETUP, files: dict[str, File] = FILES, *, platform: str = "p", at: tuple[str, ...] = ()
) -> str:
    return Wanted(config=config, files=wanted.files(config, files)).key(platform, at)


def test_the_key_covers_what_the_set_up_sees_and_no_more() -> None:
    """Lock files, what the line names, what `lock` adds; a change of any other file makes no other environment."""
    seen = [file.path for file in wanted.files(SETUP, FILES)]
    assert seen == ["data/a.csv", "sub/requirements-dev.txt", "tools/up.sh", "uv.lock"]
    assert key() == key(files={**FILES, "src/a.py": File("src/a.py", "9", False, 1)})
    assert key() == key(files=dict(reversed(FILES.items())))
    assert wanted.files(Environment(), FILES) == ()


def test_whatever_a_set_up_depends_on_makes_another_key() -> None:
    """Each of them."""
    changed = [
        *(key(files={**FILES, p: File(p, "9", False, 10)}) for p in ("uv.lock", "tools/up.sh", "data/a.csv")),
        key(files={**FILES, "tools/up.sh": File("tools/up.sh", "0", True, 10)}),
        key(files={**FILES, "go.sum": File("go.sum", "0", False, 10)}),
        key(msgspec.structs.replace(SETUP, setup="sh tools/up.sh; uv sync")),
        key(msgspec.structs.replace(SETUP, set="python")),
        key(msgspec.structs.replace(SETUP, image="python-3.12")),
        key(platform="q"),
        key(at=("pypi.org:443",)),
    ]
    assert len({key(), *changed}) == len(changed) + 1


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (tree("tools/up.sh"), "lock"),
        (FILES | tree(*(f"data/{i}.csv" for i in range(wanted.MAX_FILES))), "lock"),
        ({**FILES, "uv.lock": File("uv.lock", "0", False, wanted.MAX_BYTES)}, "lock"),
    ],
)
def test_what_cannot_be_shown_is_refused(files: dict[str, File], name: str) -> None:
    """A pattern without a file, and too much."""
    with pytest.raises(Unusable) as caught:
        wanted.files(SETUP, files)
    assert caught.value.key.startswith(name)
    assert repoconfig.unusable(caught.value).field.startswith(".moot.toml: environment.lock")


@pytest.mark.parametrize(
    "text",
    ["", "a b", "*", "*.org", "a.org:", "a.org:0", "a.org:65536", "a.org:x", "a.org:١", "a..b", ".a", "-a", "a.org.",
     "a.org/x", "u@a.org", "a\0.org", "a.org\n", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001",
     "017700000001", "1.2.3.0x4", "[::1]", "::1", "[::1]:80", "ä.org", "a" * 64, "a." * 127 + "a"],
)  # fmt: skip
def test_no_host_by_pattern_or_address(text: str) -> None:
    """Whatever a resolver or a client may take for an address, or for more than one name."""
    assert hosts.problem(text)


@pytest.mark.parametrize(
    ("text", "host"), [("PyPI.org", "pypi.org:443"), ("a-b.c1:80", "a-b.c1:80"), ("localhost:1", "localhost:1")]
)
def test_hosts_are_names_with_ports(text: str, host: str) -> None:
    """Without one, that of HTTPS."""
    assert str(hosts.parsed(text)) == host


@given(st.text())
def test_any_text_is_a_host_or_none(text: str) -> None:
    """Nothing else is raised, and what is taken is plain."""
    if not hosts.problem(text):
        assert set(hosts.parsed(text).name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_repository_chooses_from_what_the_installation_allows() -> None:
    """Nothing said: all of it. An empty list: nowhere. More only where any public host is allowed."""
    policy = Policy.of("a.org, b.org:80", "")
    a, b = Host("a.org", 443), Host("b.org", 80)
    assert policy.granted(None) == {a, b}
    assert policy.granted([]) == frozenset()
    assert policy.granted(["A.org"]) == {a}
    for asked in ("c.org", "a.org:80", "b.org"):
        with pytest.raises(ValueError, match=asked):
            policy.granted([asked])
    assert Policy.of("a.org,*", "").granted(["c.org"]) == {Host("c.org", 443)}
    assert Policy.of("a.org,*", "").granted(None) == {a}
    assert Policy.of("", "").granted(None) == frozenset()


@pytest.mark.parametrize(("name", "value"), [("setup_hosts", "a.org,*.org"), ("setup_private_hosts", "10.0.0.1")])
def test_settings_that_name_no_host_are_refused(name: str, value: str) -> None:
    """By name, when the runner starts."""
    with pytest.raises(InvalidInput, match=r"runner\.setup"):
        policy_of(RunnerSettings(**{name: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::",
     "ff02::1", "::"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    """One of them among public ones is enough; so is none at all."""
    assert not hosts.public([address])
    assert not hosts.public(["8.8.8.8", address])
    assert not hosts.public([])


def test_addresses_that_are() -> None:
    """Of both kinds."""
    assert hosts.public(["8.8.8.8", "2606:4700::6810:1"])


def test_what_base_asks_for() -> None:
    """Something has to be made for a set-up, and for the set whose Python sees this machine's packages."""
    assert not Wanted().made
    assert not Wanted(config=Environment(set="go")).made
    assert Wanted(config=Environment(setup="x")).made
    assert Wanted(config=Environment(image="data-science")).made
    assert Environment(image="data-science").library == ("data-science", "")
    assert Environment(image=f"python{DIGEST}").library == ("", "")


def test_commands_and_set_ups_have_variables_of_their_own() -> None:
    """Only a set-up has a way out, and none of the variables that say there is no network."""
    plain = {"PATH": "/usr/bin", "PIP_NO_INDEX": "1", "GOPROXY": "off", "HOME": "/h"}
    frozen = profile.seen(plain, venv=True)
    assert frozen["PATH"].endswith(":/usr/bin")
    assert (frozen["PIP_NO_INDEX"], frozen["GOPROXY"]) == ("1", "off")
    assert "HTTPS_PROXY" not in frozen
    online = profile.setting_up(plain, venv=False, online=True, trusted=False)
    assert profile.setting_up(plain, venv=False, online=True, trusted=True)["PIP_CERT"] == profile.AUTHORITIES
    assert online["HTTPS_PROXY"] == online["http_proxy"] == "http://127.0.0.1:3128"
    assert not {"PIP_NO_INDEX", "GOPROXY", "UV_OFFLINE", "VIRTUAL_ENV"} & set(online)
    assert "HTTPS_PROXY" not in profile.setting_up(plain, venv=False, online=False, trusted=True)


@pytest.mark.parametrize(
    ("asked", "there", "fits"),
    [
        ("3.12", "3.12.4", True),
        ("3.12", "3.12", True),
        ("3.1", "3.12.4", False),
        ("3.12.4", "3.12", False),
        ("", "1", True),
    ],
)
def test_versions(asked: str, there: str, fits: bool) -> None:
    """By whole parts."""
    assert sets.of_version(asked, there) is fits
    assert sets.version("go version go1.26.8 linux/amd64") == "1.26.8"


def test_images_of_a_cluster() -> None:
    """By digest and allowed by the installation, as a library set too, with a set-up or without."""
    known = images(f"python=r/py{DIGEST}, python-3.12=r/py312{DIGEST}, r/own{DIGEST}")
    for config, image in [
        (Environment(), ""),
        (Environment(set="base"), ""),
        (Environment(setup="x"), ""),
        (Environment(set="python"), f"r/py{DIGEST}"),
        (Environment(image="python-3.12"), f"r/py312{DIGEST}"),
        (Environment(image=f"r/own{DIGEST}"), f"r/own{DIGEST}"),
    ]:
        assert known.chosen(Wanted(config=config)) == image
    for config, words in [
        (Environment(set="go"), "library set go"),
        (Environment(image="python-3.11"), "python-3.11"),
        (Environment(image=f"other{DIGEST}"), "FOLKMOOT_KUBERNETES_IMAGES"),
    ]:
        with pytest.raises(FailedPrecondition, match=words) as caught:
            known.chosen(Wanted(config=config))
        assert caught.value.guard == "environment"
    with pytest.raises(InvalidInput, match="a tag may become"):
        images("python=r/py:3")


def test_a_task_is_told_what_its_environment_is_made_from() -> None:
    """In the notices of its base."""
    found = Wanted(config=SETUP, files=wanted.files(SETUP, FILES))
    (notice,) = basetree.environment_notices(found)
    assert "data/a.csv" in notice
    assert basetree.environment_notices(Wanted()) == []
