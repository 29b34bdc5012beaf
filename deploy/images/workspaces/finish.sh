#!/bin/sh
# finish.sh ROOT CONTEXT: what makes the Debian tree at ROOT a workspace. Run as root.
set -eu
root=$1 context=$2
user=65534

# One user besides root, with no name service to ask.
grep -v ":$user:" "$root/etc/passwd" >"$root/etc/passwd.new"
echo "agent:x:$user:$user::/home/agent:/bin/sh" >>"$root/etc/passwd.new"
grep -v ":$user:" "$root/etc/group" >"$root/etc/group.new"
echo "agent:x:$user:" >>"$root/etc/group.new"
mv "$root/etc/passwd.new" "$root/etc/passwd"
mv "$root/etc/group.new" "$root/etc/group"
install -d -o $user -g $user "$root/home/agent" "$root/workspace"

# The tools of the agents, and pytest in an environment of its own, as in a sandbox on the runner's machine.
install -d "$root/opt/tools"
install -m 755 "$context"/tools/* "$root/opt/tools"
chroot "$root" /usr/bin/python3 -m venv --without-pip $(cat "$context/venv.txt") /opt/python
for packages in "$root"/opt/python/lib/python3*/site-packages; do
    cp -R "$context"/site-packages/. "$packages"
done
printf '#!/opt/python/bin/python\nimport sys, pytest\nsys.exit(pytest.console_main())\n' >"$root/opt/python/bin/pytest"
chmod 755 "$root/opt/python/bin/pytest"
chmod -R go-w,a+rX "$root/opt"

# What a container gets from its pod, and what nobody needs to be allowed here.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
