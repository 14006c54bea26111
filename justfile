# Everything that is done here, by name. `just` lists it.

default:
    @just --list

# A node on loopback
dev *ARGS:
    cargo run --release -- dev {{ARGS}}

# Three voters as three processes on loopback
cluster:
    cargo build --release -p arsenal-server
    deploy/examples/cluster

# All tests
test:
    cargo test --workspace

# What CI checks beside the tests: all, or the parts named (fmt, clippy, deny, tidy)
check *PARTS:
    .ci/check {{PARTS}}

# Write the generated pages anew
docs:
    cargo run -q -- config reference > docs/configuration.md
    cargo run -q -- config file > deploy/examples/arsenal.toml

# The benchmark beside its peers: one table with ratios measured in the same run
bench *ARGS:
    tests/benches/run {{ARGS}}

# The gateway beside a bare axum echo, a bare tonic echo and DynamicMessage: rates, latencies, allocations, memory
bench-gateway *ARGS:
    tests/benches/gateway/run {{ARGS}}

# Three nodes beside three of etcd: writes and reads a second, how long nothing is accepted when the leader goes
bench-cluster *ARGS:
    tests/benches/cluster/run {{ARGS}}

# A million idle processes and supervisors of 100,000 children, about a gigabyte; thousands of histories of global
# names; nodes killed thirty times, and on a network that breaks; new scenarios beside Erlang; ten million requests through the gateway
soak:
    ARSENAL_SCALE=full cargo test --release --test suite -p arsenal-tests -- --exact --nocapture \
        scale::a_node_full_of_processes_answers_while_they_come_and_go
    ARSENAL_SEEDS=5000 cargo test --release -p arsenal-raft --test linearizability
    ARSENAL_SCALE=full cargo test --release -p arsenal-raft --test scale -- --nocapture
    ARSENAL_SCALE=full cargo test --release -p arsenal-membership --test cluster scale -- --nocapture
    CLUSTER_ROUNDS=30 tests/e2e/run cluster
    NETNS_ROUNDS=8 tests/e2e/run netns
    ORACLE_COUNT=600 ORACLE_SEED=$(date +%s) tests/e2e/run erlang
    PROPTEST_CASES=5000 cargo test --release -p arsenal-gateway --test differential
    gateway/fuzz/run
    GATEWAY_REQUESTS=10000000 cargo test --release -p arsenal-gateway --test memory

# Tests with real outside programs: all, or those named (the folders of tests/e2e)
e2e *ARGS:
    tests/e2e/run {{ARGS}}
