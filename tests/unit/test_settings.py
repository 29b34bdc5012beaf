"""Settings: what is wrong is refused by its name, wherever it was written."""

from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.runtime.settings import Settings, load, variables


def _from_file(folder: Path, text: str) -> Settings:
    (folder / "folkmoot.toml").write_text(text, "utf-8")
    return load({"FOLKMOOT_DATA": str(folder)})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[model]\nnaem = "m"', "model.naem: is no setting"),
        ('[modle]\nname = "m"', "modle: is no group"),
        ("[orchestrator]\ndeliberations = 0", "^orchestrator.deliberations: "),
        ("[agents]\nactors = -1", "^agents.actors: "),
        ("[model]\ntimeout_s = 0", "^model.timeout_s: "),
        ("[model]\ntimeout_s = nan", "^model.timeout_s: "),
        ("[model]\nconnect_timeout_s = inf", "^model.connect_timeout_s: "),
        ("[runner]\nmemory_bytes = 0", "^runner.memory_bytes: "),
        ("[runner]\nsandbox_uid = 0", "^runner.sandbox_uid: "),
        ("[runner]\nmax_commands = -1", "^runner.max_commands: "),
        ('[grpc]\nlisten = "127.0.0.1:65536"', "^grpc.listen: "),
        ('[grpc]\nrunner = "127.0.0.1"', "^grpc.runner: "),
        ('[telemetry]\nmetrics_listen = "9464"', "^telemetry.metrics_listen: "),
        ('[telemetry]\notlp_url = "http://ann:secret@collector:4318"', "^telemetry.otlp_url: [^@]*$"),
        ('[telemetry]\notlp_url = "collector:4318"', "^telemetry.otlp_url: "),
        ('[agents]\nray_address = "127.0.0.1:-1"', "^agents.ray_address: "),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, names: str) -> None:
    """An unknown key, and a number that can only be wrong."""
    with pytest.raises(InvalidInput, match=names):
        _from_file(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value", "names"),
    [
        ("FOLKMOOT_ORCHESTRATOR_DELIBERATIONS", "0", "^orchestrator.deliberations: "),
        ("FOLKMOOT_MODEL_ATTEMPTS", "many", "^model.attempts: "),
        ("FOLKMOOT_LOG_TIMEOUT_S", "-1", "^log.timeout_s: "),
        ("FOLKMOOT_MODEL_NAEM", "m", "^FOLKMOOT_MODEL_NAEM: "),
    ],
)
def test_what_is_wrong_in_a_variable_is_named(tmp_path: Path, name: str, value: str, names: str) -> None:
    """Text is read as a number before it is judged."""
    with pytest.raises(InvalidInput, match=names):
        load({"FOLKMOOT_DATA": str(tmp_path), name: value})


def test_a_child_reads_the_same_settings(tmp_path: Path) -> None:
    """Every default passes its own rules, and survives the way through a child's environment."""
    settings = _from_file(tmp_path, '[model]\nurl = "http://127.0.0.1/v1"\ntemperature = 0\n[runner]\nmax_commands = 3')
    assert load(variables(settings)) == settings
    assert msgspec.structs.replace(load({"FOLKMOOT_DATA": "/x"}), data="") == Settings()
