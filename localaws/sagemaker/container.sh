# Runs as process 1 of a container's own namespaces. Arguments: the container's folder on the host, its host
# name, the folder of the image's software (may be empty), then the command.
# Everything mounted here is seen by this process and its children only, and is gone with them.

folder=$1 name=$2 image=$3
shift 3

fail() {
    echo "$1" >"$folder/setup-failed"
    exit 125
}

# Nice to have: tools that look at processes, and a host name of its own. Masked in some sandboxes.
mount -t proc proc /proc 2>/dev/null
hostname "$name" 2>/dev/null
mount --bind "$folder/hosts" /etc/hosts 2>/dev/null
ip link set lo up 2>/dev/null # in a network of its own it is down at first

if [ ! -d /opt/ml ]; then
    # A mount point cannot be made on the host: cover /opt by a folder in memory that shows the same
    # entries (interpreters may live there) and ml beside them.
    mount --rbind /opt "$folder/stash" || fail "cannot bind /opt"
    mount -t tmpfs -o mode=755 container /opt || fail "cannot mount over /opt"
    for entry in "$folder"/stash/* "$folder"/stash/.[!.]*; do
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
mount --rbind "$folder/ml" /opt/ml || fail "cannot bind /opt/ml"

if [ -n "$image" ]; then
    # As in any container, what is installed goes into a layer that is thrown away. Where the kernel has no
    # overlay for us (the folder may lie on an overlay itself), nothing can be installed.
    layer="lowerdir=$image,upperdir=$folder/layer/upper,workdir=$folder/layer/work,userxattr"
    mount -t overlay image -o "$layer" "$image" 2>/dev/null || {
        mount --rbind "$image" "$image" && mount -o remount,bind,ro "$image"
    } || fail "cannot protect $image"
fi

cd "$folder/work" || fail "cannot enter the working folder"

if ! command -v "$1" >/dev/null; then
    echo "exec: \"$1\": executable file not found in \$PATH" >&2
    exit 127
fi

# A child: the kernel shields process 1 from signals that it does not handle, and the command is to get them.
(
    : >"$folder/running"
    exec "$@"
)
exit $?
