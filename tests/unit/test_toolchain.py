"""What of this machine goes into every sandbox: toolchains, and nothing that lies beside them."""

from pathlib import Path

import pytest

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runner.local.toolchain import Toolchains, _etc, discover


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home folder, with our data where it is by default."""
    folder = tmp_path / "home"
    (folder / ".local/share/folkmoot/runner").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return folder


def _with(program: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Toolchains:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return discover(home / ".local/share/folkmoot/runner")


@pytest.mark.parametrize("place", [".local/bin/node", "bin/go", ".local/share/bin/node", ".config/bin/go"])
def test_a_program_beside_private_files_opens_nothing(home: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """`~/.local` holds our token and other people's keyrings: no mount has it, nor a part of it."""
    found = _with(home / place, monkeypatch, home)
    private = home / ".local/share/folkmoot"
    seen = [Path(m.source) for m in found.mounts if m.source and Path(m.source).is_relative_to(home)]
    assert [p for p in seen if not p.is_relative_to(private / "runner")] == []
    assert not [p for p in seen if private.is_relative_to(p)]
    assert not [folder for folder in found.path if Path(folder).is_relative_to(home)]


def test_a_toolchain_with_a_folder_of_its_own_is_shown_in_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs and libraries, not what else somebody keeps there."""
    node = home / ".nodes/v20"
    for name in ("lib", "etc", "notes"):
        (node / name).mkdir(parents=True)
    found = _with(node / "bin/node", monkeypatch, home)
    shown = [m.target for m in found.mounts if Path(m.target).is_relative_to(home)]
    assert shown == [str(node / "bin"), str(node / "lib")]
    assert str(node / "bin") in found.path


def test_a_python_among_private_files_is_refused(home: Path) -> None:
    """Sandboxes need it, so there is no way around saying so."""
    with pytest.raises(Misconfigured, match="must not see"):
        discover(home / ".local/share/folkmoot/runner", python=home / ".local")


def test_every_java_finds_its_settings(tmp_path: Path) -> None:
    """Whichever version a machine has."""
    (tmp_path / "etc/java-21-openjdk").mkdir(parents=True)
    (tmp_path / "etc/java-21-openjdk/net.properties").write_text("x")
    (tmp_path / "etc/shadow").write_text("secret")
    copied = Path(_etc(tmp_path / "copies", host=tmp_path / "etc").source)
    assert (copied / "java-21-openjdk/net.properties").read_text() == "x"
    assert not (copied / "shadow").exists()
