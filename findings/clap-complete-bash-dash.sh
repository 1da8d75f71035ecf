#!/usr/bin/env bash
# clap 4.6.9, clap_complete 4.6.12, bash 5
#
# Guess: the script that clap_complete writes for bash completes the options of subcommands.
# Seen: for a program named `tool` it does. For `my-tool` it completes the subcommands, and after any of them nothing:
# while it walks over the words it builds names that begin with `my__tool__subcmd__`, but the labels that it compares
# them with begin with `my__subcmd__tool__subcmd__`: the dash was replaced by another separator there.
#
# What follows: a program with a dash in its name corrects the labels before it prints the script.
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
clap = "=4.6.9"
clap_complete = "=4.6.12"
TOML
cat >src/main.rs <<'RUST'
use clap::{Arg, ArgAction, Command};
use clap_complete::{generate, shells::Bash};

fn main() {
    let name: &'static str = std::env::args().nth(1).expect("a name").leak();
    let engines = Arg::new("engines").long("engines").action(ArgAction::SetTrue);
    let mut command = Command::new(name).subcommand(Command::new("run").arg(engines));
    generate(Bash, &mut command, name, &mut std::io::stdout());
}
RUST
CARGO_TARGET_DIR=target cargo build --quiet
complete_after_run() {
    target/debug/probe "$1" >"$1.bash"
    bash -c '
        source "./$1.bash"
        function=$(complete -p "$1" | sed "s/.*-F \([^ ]*\).*/\1/")
        COMP_WORDS=("$1" run --)
        COMP_CWORD=2
        COMPREPLY=()
        "$function" "$1" -- run
        echo "${COMPREPLY[*]}"
    ' bash "$1"
}
short=$(complete_after_run tool)
dashed=$(complete_after_run my-tool)
printf 'tool run --<TAB>: %s\nmy-tool run --<TAB>: %s\n' "$short" "$dashed"
[ "$short" = "--engines --help" ] && [ -z "$dashed" ] || { echo "it behaves otherwise now" >&2; exit 1; }
