"""What commands see of an environment, and what a set-up sees besides. Pure.

Everything is where it will be for agents and examinations, so that what a set-up writes into its files stays true.
"""

from collections.abc import Mapping

from folkmoot.runner.local.launcher import HOME

TARGET = "/opt/environment"
"""Inside; writable to the set-up, read-only to everybody else."""
VENV = f"{TARGET}/venv"
NODE_MODULES = f"{TARGET}/node_modules"
GO_MODULES = f"{TARGET}/go/pkg/mod"
SOCKET = "/opt/way-out"
PORT = 3128
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""On most systems, and inside."""
_TRUST = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""Variables of programs that would bring their own."""
BINARIES = (f"{TARGET}/bin", f"{VENV}/bin", f"{NODE_MODULES}/.bin")
FROZEN = (
    *("PIP_NO_INDEX", "GOPROXY", "npm_config_offline", "UV_OFFLINE", "UV_NO_SYNC"),
    "PYTHONDONTWRITEBYTECODE",  # what is imported while it can still be written is there compiled ever after
)
"""Variables of sandboxes without network, over what does not change."""


def seen(environment: Mapping[str, str], *, venv: bool) -> dict[str, str]:
    """The variables of commands that have an environment, from those of commands that have none."""
    return {**environment, "PATH": ":".join((*BINARIES, environment["PATH"])), **variables(venv=venv)}


def variables(*, venv: bool) -> dict[str, str]:
    """Those that an environment adds, besides `BINARIES` on PATH."""
    added = {
        "FOLKMOOT_ENVIRONMENT": TARGET,
        "GOMODCACHE": GO_MODULES,
        "UV_PROJECT_ENVIRONMENT": VENV,
        "UV_OFFLINE": "1",
        "UV_NO_SYNC": "1",
    }
    return added | ({"VIRTUAL_ENV": VENV} if venv else {})


def setting_up(environment: Mapping[str, str], *, venv: bool, online: bool, trusted: bool) -> dict[str, str]:
    """The variables of a set-up, from those of commands that have no environment. `trusted`: this machine says itself
    whose certificates hold, as where a company has its own."""
    plain = {name: value for name, value in seen(environment, venv=venv).items() if name not in FROZEN}
    return plain | outward(online=online, authorities=AUTHORITIES if trusted else "")


def outward(*, online: bool, authorities: str) -> dict[str, str]:
    """Those of a set-up alone. `authorities` is a file inside with all whose certificates hold; empty: none."""
    proxy = f"http://127.0.0.1:{PORT}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
    return {
        "TMPDIR": f"{HOME}/.tmp",  # on the disk: packages are large
        "GOBIN": f"{TARGET}/bin",
        "npm_config_prefix": TARGET,
        "npm_config_update_notifier": "false",
        "npm_config_fund": "false",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_LINK_MODE": "copy",
        **(proxies if online else {}),
        **(dict.fromkeys(_TRUST, authorities) if online and authorities else {}),
    }
