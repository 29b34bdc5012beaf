"""Bundle headers: sound ones, near misses, and noise."""

import struct

from hypothesis import strategies as st

HEX = "0123456789abcdef"
_IDS = st.one_of(
    st.text(HEX, min_size=40, max_size=40),
    st.text(HEX, min_size=64, max_size=64),
    st.text(HEX + "ABCXYZ \0\n/-", max_size=70),
    st.sampled_from(["", "0" * 40, "-" * 40, "HEAD", "f" * 4_000, "1" * 41]),
)
_REFS = st.one_of(
    st.sampled_from(
        ["HEAD", "refs/heads/x", "refs/heads/../../x", "--upload-pack=x", "refs/", "refs/heads/x.lock", "@{-1}", ""]
    ),
    st.text(max_size=300),
    st.from_regex(r"refs/[A-Za-z0-9._/-]{0,250}", fullmatch=True),
)
_SIGNATURES = st.one_of(
    st.sampled_from(["# v2 git bundle", "# v3 git bundle"]),
    st.sampled_from(["# v4 git bundle", "# v2 git bundle ", "# V2 git bundle", "", "# v02 git bundle"]),
    st.text(max_size=30),
)
_CAPABILITIES = st.one_of(
    st.sampled_from(["@object-format=sha1", "@object-format=sha256", "@filter=blob:none", "@", "@object-format="]),
    st.text(max_size=60).map("@{}".format),
)
_SUBJECTS = st.one_of(st.just("base"), st.text(max_size=200))
_NEEDED = st.builds("-{} {}".format, _IDS, _SUBJECTS)
_TIPS = st.builds("{} {}".format, _IDS, _REFS)
_LINES = st.one_of(_NEEDED, _TIPS, _CAPABILITIES, st.text(max_size=100))
_COUNTS = st.one_of(st.integers(0, 4), st.sampled_from([2**16, 2**31, 2**32 - 1]))
_PACKS = st.one_of(
    st.builds(
        lambda magic, version, count, rest: magic + struct.pack(">II", version, count) + rest,
        st.sampled_from([b"PACK", b"PACK", b"PAC", b"pack", b""]),
        st.one_of(st.sampled_from([2, 3]), st.integers(0, 2**32 - 1)),
        _COUNTS,
        st.binary(max_size=100),
    ),
    st.binary(max_size=200),
)


def _bundle(signature: str, lines: list[str], gap: bytes, pack: bytes) -> bytes:
    return "\n".join([signature, *lines]).encode("utf-8", "surrogatepass") + gap + pack


_GAPS = st.sampled_from([b"\n\n", b"\n\n", b"\n\n", b"\n", b"", b"\r\n\r\n", b"\n\0\n"])
_ID = st.text(HEX, min_size=40, max_size=40)
_SOUND = st.builds(
    lambda needed, tip, ref, subject, count, rest: _bundle(
        "# v2 git bundle",
        [*(f"-{oid} {subject}" for oid in needed), f"{tip} {ref}"],
        b"\n\n",
        b"PACK" + struct.pack(">II", 2, count) + rest,
    ),
    st.lists(_ID, min_size=1, max_size=3),
    _ID,
    st.one_of(st.from_regex(r"refs/heads/[a-z]{1,9}", fullmatch=True), _REFS),
    _SUBJECTS,
    st.integers(0, 5),
    st.binary(min_size=30, max_size=60),
)
"""Whatever its parts are."""
_LIKELY = st.builds(
    lambda signature, needed, tip, pack: _bundle(signature, [*needed, tip], b"\n\n", pack),
    st.sampled_from(["# v2 git bundle", "# v3 git bundle"]),
    st.lists(_NEEDED, min_size=1, max_size=3),
    _TIPS,
    _PACKS,
)
HEADERS = st.one_of(
    _SOUND,
    _LIKELY,
    st.builds(_bundle, _SIGNATURES, st.lists(_LINES, max_size=8), _GAPS, _PACKS),
    # More lines than anybody has branches.
    st.builds(lambda line, times, pack: _bundle("# v2 git bundle", [line] * times, b"\n\n", pack), _LINES, _COUNTS.map(
        lambda n: n % 5_000), _PACKS),
    st.binary(max_size=300),
)  # fmt: skip
