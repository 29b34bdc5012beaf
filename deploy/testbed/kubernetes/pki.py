"""Certificates of one bed: an authority, and what each part shows to the others. Made by openssl, gone with the bed."""

import base64
import ssl
from pathlib import Path

import msgspec

from deploy.shared import run

_NEW = ("req", "-x509", "-nodes", "-days", "3650", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """Signs; what it has signed once stays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "ca.crt"
        self.key = folder / "ca.key"
        self.tokens = folder / "tokens.key"
        """Signs the tokens of service accounts."""

    def make(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.certificate.is_file():
            may = "keyUsage=critical,keyCertSign,digitalSignature"
            files = ("-keyout", self.key, "-out", self.certificate)
            run("openssl", *_NEW, "-subj", "/CN=testbed", *files, "-addext", may)
        if not self.tokens.is_file():
            run("openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", self.tokens)

    def pair(self, name: str, subject: str = "", also: str = "DNS:localhost") -> Pair:
        """For `subject` (default: its own name), as a client and as a server called `also`."""
        pair = Pair(certificate=self._folder / f"{name}.crt", key=self._folder / f"{name}.key")
        if not pair.certificate.is_file():
            run(
                "openssl",
                *(*_NEW, "-subj", subject or f"/CN={name}", "-CA", self.certificate, "-CAkey", self.key),
                *("-keyout", pair.key, "-out", pair.certificate, "-addext", f"subjectAltName={also}"),
                *("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth"),
            )
        return pair

    def kubeconfig(self, path: Path, server: str, name: str, subject: str = "") -> Path:
        """A file by which a client called `name` reaches the API server."""
        pair = self.pair(name, subject)
        cluster = {"server": server, "certificate-authority-data": _text(self.certificate)}
        user = {"client-certificate-data": _text(pair.certificate), "client-key-data": _text(pair.key)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "testbed",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": name}}],
        }
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
        return path

    def client(self, name: str) -> ssl.SSLContext:
        """To speak to a server of this bed as `name`, whose pair must be there."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.load_cert_chain(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        return context


def _text(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
