#!/usr/bin/env bash
# async-nats 0.51.0, tryhard 0.5.2, tokio 1.54.1
#
# Guess: tokio's `test-util`, which puts a clock for tests into the runtime, is on in a program only if the program or
# its development dependencies ask for it.
# Seen: async-nats with JetStream depends on tryhard, which has `test-util` among the features of its normal dependency on tokio. Features
# are unified, so every program with JetStream has it, whether it tests or not, and can call
# `tokio::time::pause`.
#
# What follows: that such a feature is off cannot be promised for builds with async-nats, and code that must not be built
# with it cannot be guarded by its absence.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
async-nats = { version = "=0.51.0", default-features = false, features = ["jetstream", "kv", "ring"] }
tokio = { version = "=1.54.1", default-features = false, features = ["rt"] }
TOML
echo 'fn main() {}' >src/main.rs
cargo update --quiet --precise 0.5.2 tryhard
cargo tree --quiet --edges normal --invert tryhard | tee tryhard
cargo tree --quiet --edges normal,features --invert tokio@1.54.1 >tokio
grep --after-context 1 'tokio feature "test-util"$' tokio | tee asks
grep --quiet 'async-nats v0.51.0' tryhard && grep --quiet 'tryhard v0.5.2' asks ||
    { echo "it behaves otherwise now" >&2; exit 1; }
