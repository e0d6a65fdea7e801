# Functions for the scripts in this folder: a running world, counted steps, installation of clients.
# Loopback only. Each client has its own home folder, never that of the user.

passed=0 failed=0 skipped=0
work=$(mktemp -d)
own_home=$HOME
[[ -n ${as:-} ]] && chown "$as:$as" "$work" && chmod 755 "$work"
server=

# With the argument `maildir`, or where $store says so, the mailboxes are Maildirs.
if [[ ${store:-${1:-}} = maildir ]]; then
    world=$work/world.toml
    sed '/^\[mda\./a mailboxes = "maildir"' config/journey.toml >"$world"
fi

# serve: starts the world, or $world, on free ports, as the user $as if there is one; each port is a variable of its
# service's name.
serve() {
    rm -f "$work/ports.json"
    ${as:+setpriv --reuid="$as" --regid="$as" --clear-groups} "$postroad" serve ${world:+"$world"} --free-ports --data "$work/data" --ports-file "$work/ports.json" >"$work/serve.log" 2>&1 &
    server=$!
    for _ in $(seq 200); do [[ -f $work/ports.json ]] && break; sleep 0.05; done
    [[ -f $work/ports.json ]] || { cat "$work/serve.log"; exit 1; }
    for name in smtp submission submissions pop3 pop3s imap imaps http greeter; do
        printf -v "$name" '%s' "$(sed -E "s/.*\"$name\":\"127.0.0.1:([0-9]+)\".*/\1/" "$work/ports.json")"
    done
    export imap imaps pop3 pop3s smtp submission submissions
}

# quit: sends SIGTERM to the world; true if it exits with 0 within 20 s.
quit() {
    [[ -n $server ]] || return
    local ended=$server
    server=
    kill "$ended" 2>/dev/null
    for _ in $(seq 200); do kill -0 "$ended" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$ended" 2>/dev/null
    wait "$ended" 2>/dev/null
}
trap 'quit; rm -rf "$work"' EXIT

pass() { printf 'ok       %s\n' "$1"; passed=$((passed + 1)); }
fail() { printf 'FAIL     %s\n' "$1"; failed=$((failed + 1)); }

# miss WHAT WHY: skips a step that cannot run here. On CI that is a failure.
miss() {
    if [[ ${CI:-} = true ]]; then
        fail "$1: $2"
    else
        printf 'skipped: %s: %s\n' "$1" "$2"
        skipped=$((skipped + 1))
    fi
}

# check NAME COMMAND...: the command must exit with 0 within 20 s; returns whether it did.
check() {
    local name=$1
    shift
    if timeout "${patience:-20}" bash -c '"$@"' _ "$@" >"$work/out" 2>&1 </dev/null; then
        pass "$name"
    else
        fail "$name"
        sed 's/^/         | /' "$work/out" | tail -15
        return 1
    fi
}

# The columns of the table and the results per client, in their order.
actions=(send read flag move search delete sync)
clients=()
declare -A done_by

# seen CLIENT ACTION...: records that the client passed the last check.
seen() {
    local client=$1
    shift
    [[ -n ${done_by[$client]:-} ]] || clients+=("$client")
    done_by[$client]+=" $* "
}

# restart: stops the world and starts it with the same data on other ports.
restart() {
    if quit; then pass 'serve exits with 0 on SIGTERM'; else fail 'serve exits with 0 on SIGTERM'; fi
    serve
}

# install PACKAGE: installs from Debian, if possible.
install() {
    command -v apt-get >/dev/null && [[ $(id -u) = 0 ]] || return
    [[ -n ${updated:-} ]] || { timeout 120 apt-get update -qq >/dev/null 2>&1; updated=yes; }
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
}

# need COMMAND PACKAGE: whether the command exists or could be installed.
need() {
    command -v "$1" >/dev/null && return
    install "$2"
    command -v "$1" >/dev/null && return
    miss "$1" "not there (Debian: $2)"
    return 1
}

# ask COMMAND [MAILBOX]: prints the response to a command in friend's INBOX or another mailbox.
ask() { curl -sS "imap://127.0.0.1:$imap/${2-INBOX}" -u "$user" -X "$1"; }

# status [MAILBOX]: prints the number of messages in friend's INBOX or another mailbox.
status() { ask "STATUS ${1:-INBOX} (MESSAGES)" ''; }

# has N [MAILBOX]: waits until friend's INBOX or another mailbox has N messages.
has() {
    for _ in $(seq 100); do
        status "${2:-INBOX}" | grep -q "MESSAGES $1)" && return
        sleep 0.1
    done
    status "${2:-INBOX}"
    return 1
}

# holds KEY N: whether N messages of friend's INBOX match the search key.
holds() {
    local found
    found=$(ask "SEARCH $1") && [[ $(tr -d '\r' <<<"$found" | grep '^\* SEARCH' | wc -w) = $(($2 + 2)) ]] && return
    printf '%s\n' "$found"
    return 1
}

# gives TEXT COMMAND...: whether the command exits with 0 and prints the text.
gives() {
    local text=$1 given
    shift
    given=$("$@" 2>&1) && grep -qF -- "$text" <<<"$given" && return
    printf '%s\n' "$given"
    return 1
}

# home NAME: creates a folder for the client and sets HOME to it.
home() {
    export HOME=$work/$1
    mkdir -p "$HOME"
}

# count_of FOLDER: the messages in one folder of a Maildir.
count_of() { find "$1/cur" "$1/new" -type f | wc -l; }

# table: prints the results in the format of docs/clients.md; a row that differs from it is a failure.
table() {
    local client action row
    for client in "${clients[@]}"; do
        row="| $client |"
        for action in "${actions[@]}"; do
            [[ ${done_by[$client]} = *" $action "* ]] && row+=' yes |' || row+=' |'
        done
        printf '%s\n' "$row"
        [[ $failed != 0 ]] || grep -qxF -- "$row" docs/clients.md || fail "docs/clients.md differs for $client"
    done
}

# total: prints the table and the totals; true if no step failed.
total() {
    table
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [[ $failed = 0 && $passed != 0 ]]
}

# $POSTROAD is the path of the program, if it is already built.
postroad=${POSTROAD:-${CARGO_TARGET_DIR:-$PWD/target}/debug/postroad}
[[ -n ${POSTROAD:-} ]] || cargo build --locked --quiet || exit 1
source tests/clients/walks.sh
user=friend@sina.test:postroad
export -f ask has holds status gives count_of
export work user

# All steps use curl to check for mail.
need curl curl || { total; [[ $failed = 0 ]]; exit; }
serve
"$postroad" ca --data "$work/data" >"$work/ca.pem"
printf 'From: me@163.test\r\nTo: friend@sina.test\r\nSubject: by a client\r\n\r\nHello, friend.\r\n.\r\n' >"$work/message.eml"
