"""The pure parts of a sandbox: what bwrap is told, what is in the environment, which programs are found."""

import stat
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.runner.command import REPO, Command
from folkmoot.runner.files import inside
from folkmoot.runner.local import seccomp
from folkmoot.runner.local.gocache import TARGET, Layers, cached
from folkmoot.runner.local.launcher import PERL, PRLIMIT
from folkmoot.runner.local.probe import identity
from folkmoot.runner.local.sandbox import Mount, Profile, arguments, explained
from folkmoot.runner.local.stage import Stage, open_to_all
from folkmoot.runner.local.toolchain import Toolchains, _etc, environment

MOUNTS = (
    Mount(kind="ro", source="/usr", target="/usr"),
    Mount(kind="link", source="usr/bin", target="/bin"),
    Mount(kind="tmpfs", target="/hidden", size=4096),
    Mount(kind="rw", source="/data/repo", target="/workspace"),
    Mount(kind="overlay", source="/low", upper="/up", work="/work", target="/over"),
)


def profile(prefix: tuple[str, ...] = ()) -> Profile:
    return Profile.plain(Path("/bwrap"), MOUNTS, charged=Path("/data"), prefix=prefix)


def said(command: Command, prefix: tuple[str, ...] = ()) -> list[str | bytes]:
    return arguments(profile(prefix), command, status=5, filter_=6)


def pairs(argv: list[str | bytes], option: str) -> list[str | bytes]:
    return [argv[n + 1] for n, part in enumerate(argv) if part == option]


def test_walls_are_asked_for() -> None:
    """Every namespace, no capability, no nested one, a filter, an empty environment, death with the parent."""
    argv = said(Command(argv=("true",)))
    for option in ("user", "pid", "net", "ipc", "uts", "cgroup"):
        assert f"--unshare-{option}" in argv
    for option in ("--disable-userns", "--new-session", "--die-with-parent", "--clearenv"):
        assert option in argv
    assert (pairs(argv, "--cap-drop"), pairs(argv, "--seccomp"), pairs(argv, "--json-status-fd")) == (
        ["ALL"],
        ["6"],
        ["5"],
    )
    assert pairs(argv, "--remount-ro") == ["/proc", "/dev", "/"]


def test_mounts_keep_their_order_and_kind() -> None:
    """A later mount covers an earlier one; only what is named is writable; the root is closed after all of them."""
    argv = said(Command(argv=("true",)))
    assert pairs(argv, "--ro-bind") == ["/usr"]
    assert pairs(argv, "--bind") == ["/data/repo"]
    assert argv[argv.index("--overlay") + 1 :][:3] == ["/up", "/work", "/over"]
    assert argv.index("--bind") < argv.index("--overlay") < argv.index("--remount-ro")


def test_the_command_comes_last_behind_its_limits() -> None:
    """What looks like an option of ours is an argument of the command."""
    argv = said(Command(argv=("--cap-add", "ALL"), cwd="/workspace/x"))
    start = argv.index(PRLIMIT)
    assert argv[start - 3 : start] == ["--chdir", "/workspace/x", "--"]
    assert argv[-3:] == ["--", "--cap-add", "ALL"]
    assert {"--nproc=64", "--nofile=256", "--core=0"} <= set(argv[start:])


def test_a_callers_variables_come_behind_the_limits() -> None:
    """What limits the command does not run with what its caller put into the environment."""
    argv = said(Command(argv=("a=b",), environment={"LD_PRELOAD": "evil"}))
    assert "--setenv" not in argv
    assert argv.index(PRLIMIT) < argv.index("LD_PRELOAD=evil") < argv.index("a=b")


def test_a_locked_command_begins_without_its_environment() -> None:
    """bwrap sets no variable: what the caller says reaches the command, and not what locks it in."""
    locked = msgspec.structs.replace(profile(), locked=True)
    argv = arguments(locked, Command(argv=("=x", "-e"), environment={"LD_PRELOAD": "evil"}), status=5, filter_=6)
    start = argv.index(PERL)
    assert "--setenv" not in argv
    assert argv[start - 3 : start] == ["--chdir", REPO, "--"]
    assert argv[-5:] == ["1", "LD_PRELOAD", "evil", "=x", "-e"]
    assert argv.index("/over") < argv.index("--remount-ro") < start
    assert argv[start:].count("/over") == argv[start:].count(REPO) == 1


def test_another_user_comes_first() -> None:
    """The program that becomes bwrap as somebody else stands in front of everything."""
    assert said(Command(argv=("true",)), ("nsenter", "--"))[:3] == ["nsenter", "--", "/bwrap"]


def test_the_environment_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the runner's process; nothing fetches anything."""
    monkeypatch.setenv("FOLKMOOT_GRPC_TOKEN", "secret")
    found = environment(Toolchains(bwrap=Path("/bwrap"), mounts=(), path=("/a", "/b", "/a")))
    assert found["PATH"] == "/a:/b"
    assert "secret" not in found.values()
    assert (found["GOPROXY"], found["PIP_NO_INDEX"], found["npm_config_offline"]) == ("off", "1", "true")


def test_etc_is_a_copy_of_what_anybody_may_read(tmp_path: Path) -> None:
    """Links stay links, private files stay away, our own passwd wins; the same content is the same folder."""
    host = tmp_path / "etc"
    (host / "ssl/certs").mkdir(parents=True)
    (host / "ssl/certs/ca.pem").write_text("ca")
    (host / "ssl/certs/link").symlink_to("/usr/share/ca")
    (host / "ssl/certs/key").write_text("private")
    (host / "ssl/certs/key").chmod(0o600)
    (host / "passwd").write_text("root:x:0:0")
    made = Path(_etc(tmp_path / "made", host).source)
    assert sorted(p.name for p in (made / "ssl/certs").iterdir()) == ["ca.pem", "link"]
    assert (made / "passwd").read_text().startswith("agent:")
    assert stat.S_IMODE(made.stat().st_mode) == 0o755
    assert Path(_etc(tmp_path / "made", host).source) == made
    (host / "ssl/certs/ca.pem").write_text("new")
    assert Path(_etc(tmp_path / "made", host).source) != made
    assert len(list((tmp_path / "made").iterdir())) == 2


def test_who_may_read_what(tmp_path: Path) -> None:
    """A folder is open to all only if every folder above it can be passed."""
    tmp_path.chmod(0o700)
    (tmp_path / "x").mkdir()
    assert not open_to_all(tmp_path / "x")
    assert open_to_all(Path("/usr"))


async def test_a_runner_that_is_not_root_shows_things_where_they_are(tmp_path: Path) -> None:
    """Nothing is bound, nobody is changed to."""
    stage = Stage()
    assert (stage.prefix, await stage.shown([tmp_path])) == ((), {tmp_path: tmp_path})
    assert stage.owns(tmp_path)


def test_commands_at_once_write_to_layers_of_their_own(tmp_path: Path) -> None:
    """Two mounts never share an upper layer; one after the other they do."""
    layers = Layers(tmp_path, Path("/shown"), Path("/low"), Stage())
    with layers.taken() as one, layers.taken() as two:
        assert one.upper != two.upper
    with layers.taken() as again:
        assert again == one
    assert cached(profile(), one).environment["GOCACHE"] == TARGET
    assert cached(profile(), one).mounts[-1] == one


@pytest.mark.parametrize(
    ("path", "expected"), [(b"", b"/workspace"), (b"a//b/./c", b"/workspace/a/b/c"), (b"-x", b"/workspace/-x")]
)
def test_paths(path: bytes, expected: bytes) -> None:
    """Names become absolute ones of the sandbox."""
    assert inside(path) == expected


@pytest.mark.parametrize("path", [b"..", b"a/../..", b"/etc", b"a\0b", b"x" * 5_000])
def test_paths_that_are_none(path: bytes) -> None:
    """What leaves the repository by its spelling never reaches a sandbox."""
    with pytest.raises(InvalidInput):
        inside(path)


def test_filters_are_whole_instructions_for_known_machines() -> None:
    """Each machine has its filter; another is refused rather than left open."""
    assert {len(seccomp.program(machine)) % 8 for machine in ("x86_64", "aarch64")} == {0}
    with pytest.raises(Misconfigured, match="mips"):
        seccomp.program("mips")


def test_a_refusal_says_what_to_do() -> None:
    """Forbidden user namespaces are told with their mend."""
    assert "sysctl" in explained("setting up uid map: Permission denied")
    assert "moot doctor" in explained("no such file")


def test_a_sandbox_as_root_is_found_and_said() -> None:
    """Where nobody may make a sandbox, `moot doctor` says so and why."""
    found = identity(Stage(doubt="user namespaces are refused"))
    assert not found.ok
    assert "user namespaces are refused" in found.text
    assert identity(Stage()).ok
