"""What runs in a set-up's own sandbox or pod, as shell: the set-up, and what puts in order what it left. Pure."""

COPY, MODULES = 44, 45
"""Exit codes of `FINISH` and `GATHER`, where what is wrong has words of its own."""

RUN = """set -e
mkdir -p "$TMPDIR"
setup=$1 venv=$2
shift 2
if [ $# -gt 0 ]; then "$@" "$venv"; fi
exec sh -e -c "$setup"
"""
FINISH = r"""set -e
cd "$1"
chmod u+rwx,go-w . 2>/dev/null || true
find . -mindepth 1 -maxdepth 1 ! -type l -exec chmod -R u+rwX,go-w,a-s {} +
find . ! -type f ! -type d ! -type l -delete
find . -path '*.dist-info/direct_url.json' -type f -size -64k -exec sh -c '
for note; do
  if grep -q "\"file:///workspace" "$note" && ! grep -q "\"editable\": *true" "$note"; then
    echo "$note" >&2
    exit 1
  fi
done' check {} + || exit 44
mkdir -p bin go/pkg/mod
for packages in venv/lib/python3*/site-packages; do
  if [ -d "$packages" ]; then echo "$2" >"$packages/folkmoot-pytest.pth"; fi
done
sync -f .
if [ -e venv/bin/python ]; then echo venv; fi
"""
"""In the end all of it is on the disk: a machine that loses its power keeps no half of an environment. Says whether
there is a Python environment: nobody looks from outside."""
GATHER = r"""if [ -d "$1" ] && [ ! -L "$1" ]; then mv -T "$1" "$2" || exit 45; fi
"""
"""npm installs nowhere but beside package.json."""
