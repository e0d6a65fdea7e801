# What the scripts beside this file share: a served world, steps that are counted, clients that are installed.
# Loopback only. A client sees a home of its own, never that of whoever runs this.

passed=0 failed=0 skipped=0
work=$(mktemp -d)
[[ -n ${as:-} ]] && chown "$as:$as" "$work" && chmod 755 "$work"
server=

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
    export imap imaps pop3 pop3s submission
}

# quit: ends the world as the system would, within 20 s; true if it exited with 0.
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

# miss WHAT WHY: a step that cannot run here. On CI that is a failure.
miss() {
    if [[ ${CI:-} = true ]]; then
        fail "$1: $2"
    else
        printf 'skipped: %s: %s\n' "$1" "$2"
        skipped=$((skipped + 1))
    fi
}

# check NAME COMMAND...: the command must end well, within 20 s.
check() {
    local name=$1
    shift
    if timeout "${patience:-20}" bash -c '"$@"' _ "$@" >"$work/out" 2>&1 </dev/null; then
        pass "$name"
    else
        fail "$name"
        sed 's/^/         | /' "$work/out" | tail -15
    fi
}

# restart: the world ends in good order and comes back with the same data, on other ports.
restart() {
    if quit; then pass 'serve ends with 0 when it is told to'; else fail 'serve ends with 0 when it is told to'; fi
    serve
}

# install PACKAGE: from Debian, where that can be.
install() {
    command -v apt-get >/dev/null && [[ $(id -u) = 0 ]] || return
    [[ -n ${updated:-} ]] || { timeout 120 apt-get update -qq >/dev/null 2>&1; updated=yes; }
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
}

# need COMMAND PACKAGE: whether the command is there, or could be installed.
need() {
    command -v "$1" >/dev/null && return
    install "$2"
    command -v "$1" >/dev/null && return
    miss "$1" "not there (Debian: $2)"
    return 1
}

# status: how many messages friend's INBOX holds, as the server says it.
status() { curl -s "imap://127.0.0.1:$imap/" -u "$user" -X 'STATUS INBOX (MESSAGES)'; }

# has N: whether friend's INBOX comes to hold N messages.
has() {
    for _ in $(seq 100); do
        status | grep -q "MESSAGES $1)" && return
        sleep 0.1
    done
    status
    return 1
}

# gives TEXT COMMAND...: whether the command ends well and prints the text.
gives() {
    local text=$1 given
    shift
    given=$("$@" 2>&1) && grep -qF -- "$text" <<<"$given" && return
    printf '%s\n' "$given"
    return 1
}

# home NAME: a folder of the client's own, its HOME from here on.
home() {
    export HOME=$work/$1
    mkdir -p "$HOME"
}

# count_of FOLDER: the messages in one folder of a Maildir.
count_of() { find "$1/cur" "$1/new" -type f | wc -l; }

# total: the closing line; true if all is well.
total() {
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [[ $failed = 0 && $passed != 0 ]]
}

cargo build --locked --quiet || exit 1
postroad=${CARGO_TARGET_DIR:-$PWD/target}/debug/postroad
user=friend@sina.test:postroad
export -f has status gives count_of
export work user

# Every step asks by curl whether the mail is there.
need curl curl || { total; [[ $failed = 0 ]]; exit; }
serve
"$postroad" ca --data "$work/data" >"$work/ca.pem"
printf 'From: me@163.test\r\nTo: friend@sina.test\r\nSubject: by a client\r\n\r\nHello, friend.\r\n.\r\n' >"$work/letter.eml"
