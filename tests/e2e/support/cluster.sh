# What the tests share that run a cluster as processes: nodes on free ports of the loopback interface, curl, and checks.
# Sourced by a test's `run`, after install.sh; all that it starts ends with the test.
#
# `nodes=N` before it is sourced says for how many there are ports (default 3).

need_program curl curl
need_program python3 python3

nodes=${nodes:-3}
scratch=$(mktemp -d)
declare -A pid
trap 'kill -9 "${pid[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

# how many: ports that nobody has just now
free_ports() {
    python3 - "$1" <<'PY'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*[each.getsockname()[1] for each in sockets])
PY
}
# first those for gRPC, then those for REST
read -ra ports < <(free_ports $((2 * nodes)))
seeds=$(printf '"127.0.0.1:%s", ' "${ports[@]:0:nodes}")
seeds="[${seeds%, }]"

# number, and whose program it is if not that of this build
start() {
    ARSENAL_NODE_DATA_DIR="$scratch/$1" ARSENAL_CLUSTER_NAME="node-$1" ARSENAL_CLUSTER_BOOTSTRAP_EXPECT=$nodes \
        ARSENAL_CLUSTER_SEEDS="$seeds" ARSENAL_CLUSTER_LEASE_MS=2500 ARSENAL_CLUSTER_RENEW_MS=500 \
        ARSENAL_LISTEN_GRPC="127.0.0.1:${ports[$(($1 - 1))]}" \
        ARSENAL_LISTEN_REST="127.0.0.1:${ports[$(($1 + nodes - 1))]}" \
        "${2:-$ARSENAL}" node >>"$scratch/$1.log" 2>&1 &
    pid[$1]=$!
    disown
}

# number: asks it to stop, and waits until it has
stop() {
    kill -TERM "${pid[$1]}"
    while kill -0 "${pid[$1]}" 2>/dev/null; do sleep 0.05; done
}

json='content-type: application/json'
base() { echo "http://127.0.0.1:${ports[$(($1 + nodes - 1))]}"; }
curl=(curl -sS --max-time 5)
# number of the node, path, further options of curl; what cannot be reached answers with nothing
get() { "${curl[@]}" "$(base "$1")$2" "${@:3}" 2>/dev/null || true; }
# number of the node, path, body, further options
post() { get "$1" "$2" -H "$json" -d "$3" "${@:4}"; }
now_ms() { date +%s%3N; }

passed=0
failed=0
# what, the answer, what it must contain
shows() {
    if grep -qiF -- "$3" <<<"$2"; then
        passed=$((passed + 1))
        printf 'ok: %s\n' "$1"
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n  wanted: %s\n  got:    %s\n' "$1" "$3" "${2:0:2000}"
    fi
}

# what, seconds, what it must contain, a command that is run again until it does
becomes() {
    local until=$((SECONDS + $2)) answer
    while answer=$("${@:4}"); ! grep -qiF -- "$3" <<<"$answer" && [ $SECONDS -lt $until ]; do sleep 0.05; done
    shows "$1" "$answer" "$3"
}

# the closing line; the test's last command
tell() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
