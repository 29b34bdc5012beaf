"""Git: a repository made to act on whoever looks at it, and candidates that no border may let in."""

# ruff: noqa: E501 -- a script reads best on one line

from collections.abc import Awaitable, Callable

from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.evidence import Admission
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.security.abuse.arena import Arena
from tests.security.abuse.attack import Attack
from tests.security.abuse.lures import SECRET

_EVIL = 'evil="touch $CANARY/open/ran"'
_HOSTILE = {
    "hooks of every kind": (
        "mkdir -p .git/hooks; for h in pre-commit post-commit post-checkout post-index-change reference-transaction pre-push "
        'post-merge post-rewrite pre-auto-gc; do printf "#!/bin/sh\\n$evil\\n" >.git/hooks/$h; chmod +x .git/hooks/$h; done'
    ),
    "a file system monitor and ssh of its own": 'git config core.fsmonitor "$evil"; git config core.sshCommand "$evil"',
    "filters and drivers": (
        'git config filter.x.clean "$evil"; git config filter.x.smudge "$evil"; git config filter.x.required true; '
        'git config diff.x.textconv "$evil"; git config merge.x.driver "$evil"; echo "* filter=x diff=x merge=x" >.gitattributes'
    ),
    "a pack hook and a pager": 'git config uploadpack.packObjectsHook "$evil"; git config core.pager "$evil"; git config alias.bundle "!$evil"',
    "an editor, a credential helper, an external diff": (
        'git config core.editor "$evil"; git config credential.helper "!$evil"; git config diff.external "$evil"; git config gpg.program "$evil"'
    ),
    "included configuration of the host": 'git config include.path "$CANARY/secret"; git config core.attributesFile "$CANARY/secret"',
    "start-up files": 'for f in .profile .bashrc .bash_profile .gitconfig .config/git/config; do mkdir -p ~/.config/git; echo "$evil" >~/$f; done',
    "a work tree on the host": 'git config core.worktree "$CANARY"; git config core.bare false',
    "hooks on the host": 'git config core.hooksPath "$CANARY/open"',
    "objects on the host": 'echo "$CANARY" >>.git/objects/info/alternates',
    "a repository that is a link to the host": 'mv .git ~/kept; ln -s "$CANARY" .git',
    "a repository that points to the host": 'mv .git ~/kept; echo "gitdir: $CANARY" >.git',
    "a HEAD that is the host's file": 'mv .git/HEAD ~/kept; ln -s "$CANARY/secret" .git/HEAD',
    "an index that is the host's file": 'rm .git/index; ln -s "$CANARY/secret" .git/index',
}


def _acted_upon(script: str) -> Callable[[Arena], Awaitable[str]]:
    """The platform then does all that it does with a workspace; the tripwire sees what ran outside."""

    async def act(arena: Arena) -> str:
        commit = "echo x >new; git add -A; git commit -qm new --no-verify"
        async with arena.lent() as workspace:
            await workspace.run(["sh", "-c", f"{_EVIL}; {commit}; {script}; {commit}; true"], env=arena.environment)
            said = await _handled(workspace, arena)
        return "the host's secret came out" if SECRET.encode() in said else ""

    return act


async def _handled(workspace: GrpcWorkspace, arena: Arena) -> bytes:
    """All answers together; an error is one too."""
    said = b""
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: workspace.list(depth=4),
        lambda: workspace.export_bundle(arena.bench.commit),
        lambda: workspace.import_bundle(b"# v2 git bundle\n\n", arena.bench.commit),
        lambda: workspace.read(".git/HEAD"),
        lambda: workspace.read(".git/index"),
        lambda: workspace.write(".git/hooks/x", b"x"),
    )
    for call in calls:
        try:
            said += repr(await call()).encode()
        except WorkspaceLost:
            raise
        except FolkmootError as error:
            said += str(error).encode()
    return said


_ROW = "printf '%s %s %s\\t%s\\n'"
_BLOB = "b=$(echo evil | git hash-object -w --stdin)"
_TREES = {
    "a folder that is a repository": '040000 tree $(printf "100644 blob $b\\tconfig\\n" | git mktree) .git',
    "a folder that is a repository on some systems": '040000 tree $(printf "100644 blob $b\\tconfig\\n" | git mktree) .GIT',
    "a folder that is a repository by its short name": '040000 tree $(printf "100644 blob $b\\tconfig\\n" | git mktree) git~1',
    "a folder that is a repository behind an ignored character": (
        '040000 tree $(printf "100644 blob $b\\tconfig\\n" | git mktree) $(printf ".g\\342\\200\\214it")'
    ),
    "modules": "100644 blob $b .gitmodules",
    "a commit of somewhere else": "160000 commit $(git rev-parse HEAD) elsewhere",
    "a link out of the tree": '120000 blob $(printf "../../../etc/passwd" | git hash-object -w --stdin) out',
    "an absolute link": '120000 blob $(printf "/etc/passwd" | git hash-object -w --stdin) out',
    "a link into the repository's own folder": '120000 blob $(printf ".git/config" | git hash-object -w --stdin) out',
    "a name that climbs": "100644 blob $b ..",
    "a name with a terminal's escape": '100644 blob $b "$(printf "a\\033]0;x\\007")"',
}


def _candidate(script: str) -> Callable[[Arena], Awaitable[str]]:
    """A commit with one more row in its root tree goes out as a bundle, and to the border."""

    async def act(arena: Arena) -> str:
        made = (
            f"set -e; {_BLOB}; set -- {script}; "
            f't=$({{ git ls-tree HEAD; {_ROW} "$1" "$2" "$3" "$4"; }} | git mktree --missing); '
            "git update-ref refs/heads/work $(git commit-tree $t -p HEAD -m evil)"
        )
        async with arena.lent() as workspace:
            done = await workspace.run(["sh", "-c", made], env=arena.environment)
            if not done.end.ok:
                return f"not tried: {done.stderr.decode()}"
            try:
                bundle = await workspace.export_bundle(arena.bench.commit)
            except WorkspaceLost:
                raise
            except FolkmootError:
                return ""
        answer = await arena.admitted(bundle)
        return "admitted" if isinstance(answer, Admission) else ""

    return act


async def _forged(arena: Arena) -> str:
    """Bundles changed on their way: another prerequisite, two refs, another ref, half of it, endless, none at all."""
    good = await _committed(arena)
    head, _, pack = good.partition(b"\n\n")
    first, prerequisite, ref = head.split(b"\n")
    forged = {
        "no prerequisite": b"\n".join([first, ref]) + b"\n\n" + pack,
        "another prerequisite": b"\n".join([first, b"-" + b"0" * 40, ref]) + b"\n\n" + pack,
        "two refs": b"\n".join([first, prerequisite, ref, ref + b"2"]) + b"\n\n" + pack,
        "another ref": b"\n".join([first, prerequisite, ref.split()[0] + b" refs/heads/../../evil"]) + b"\n\n" + pack,
        "half": good[: len(good) // 2],
        "changed": good[:-30] + bytes(30),
        "nothing": b"",
        "no bundle": b"x" * 1_000,
    }
    taken = [name for name, bundle in forged.items() if isinstance(await arena.admitted(bundle), Admission)]
    return ", ".join(taken)


async def honest(arena: Arena) -> Admission | object:
    """The same way, with nothing evil on it."""
    return await arena.admitted(await _committed(arena))


async def _committed(arena: Arena) -> bytes:
    async with arena.lent() as workspace:
        await workspace.run(["sh", "-c", "echo x >new; git add -A; git commit -qm new"])
        return await workspace.export_bundle(arena.bench.commit)


ATTACKS = [
    *(Attack(name=name, family="git", act=_acted_upon(script)) for name, script in _HOSTILE.items()),
    *(Attack(name=name, family="border", act=_candidate(script)) for name, script in _TREES.items()),
    Attack(name="forged bundles", family="border", act=_forged),
]
