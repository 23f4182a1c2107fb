# Runs as process 1 of a container's own namespaces; arguments: the folder for /opt/ml, an empty folder,
# a hosts file, the container's host name, its working folder, a file for what goes wrong, a file that says
# that the command runs, then the command.
# Everything mounted here is seen by this process and its children only, and is gone with them.

fail() {
    echo "$1" >"$failure"
    exit 125
}

opt_ml=$1 stash=$2 hosts=$3 name=$4 folder=$5 failure=$6 running=$7
shift 7

# Nice to have: tools that look at processes, and a host name of its own. Masked in some sandboxes.
mount -t proc proc /proc 2>/dev/null
hostname "$name" 2>/dev/null
mount --bind "$hosts" /etc/hosts 2>/dev/null

if [ ! -d /opt/ml ]; then
    # A mount point cannot be made on the host: cover /opt by a folder in memory that shows the same
    # entries (interpreters may live there) and ml beside them.
    mount --rbind /opt "$stash" || fail "cannot bind /opt"
    mount -t tmpfs -o mode=755 container /opt || fail "cannot mount over /opt"
    for entry in "$stash"/* "$stash"/.[!.]*; do
        place=/opt/${entry##*/}
        if [ -L "$entry" ]; then
            cp -P "$entry" "$place"
        elif [ -d "$entry" ]; then
            mkdir "$place" && mount --rbind "$entry" "$place"
        elif [ -e "$entry" ]; then
            : >"$place" && mount --bind "$entry" "$place"
        fi || fail "cannot show $place in the container"
    done
    mkdir /opt/ml
fi
mount --rbind "$opt_ml" /opt/ml || fail "cannot bind /opt/ml"

cd "$folder" || fail "cannot enter the working folder"

if ! command -v "$1" >/dev/null; then
    echo "exec: \"$1\": executable file not found in \$PATH" >&2
    exit 127
fi

# A child: the kernel shields process 1 from signals that it does not handle, and the command is to get them.
(
    : >"$running"
    exec "$@"
)
exit $?
