#!/usr/bin/env bash
# Tests docker-compose.yml: builds the image, starts the containers, sends mail through them,
# stops, kills, pauses and disconnects some of them, checks that no acknowledged message is lost, and removes them.
# Needs Docker, Compose 1.29 or 2, Python with PyPI, and a Rust toolchain: the static binary is built outside of the image, unless
# POSTROAD_BINARY names one.
set -uo pipefail
cd "$(dirname "$0")/.."

export POSTROAD_TARGET=prebuilt COMPOSE_PROJECT_NAME=postroad-test DOCKER_BUILDKIT=0
messages=${POSTROAD_MESSAGES:-40}
profile=${POSTROAD_PROFILE:-release}
work=$(mktemp -d)
passed=0 failed=0
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi

count() {
    if [[ $1 = 0 ]]; then
        printf 'ok       %s\n' "$2"
        passed=$((passed + 1))
    else
        printf 'FAIL     %s\n' "$2"
        tail -25 "$work/out" | sed 's/^/         | /'
        failed=$((failed + 1))
    fi
}

# check NAME COMMAND...: the command must exit with 0; refuse NAME COMMAND...: it must not.
check() { local name=$1; shift; "$@" >"$work/out" 2>&1; count $? "$name"; }
refuse() { local name=$1; shift; "$@" >"$work/out" 2>&1 && count 1 "$name" || count 0 "$name"; }
dc() { "${compose[@]}" "$@"; }

down() { dc --profile tests down -v --remove-orphans -t 5 >/dev/null 2>&1; rm -rf "$work"; }
trap down EXIT

# Linked anew from what `cargo build` has compiled: for glibc, crates do not differ by crt-static.
static_binary() {
    mkdir -p target/image
    [[ -n ${POSTROAD_BINARY:-} ]] && cp "$POSTROAD_BINARY" target/image/postroad && return
    cargo rustc --profile "$profile" --locked --bin postroad -- -C target-feature=+crt-static &&
        strip -o target/image/postroad "${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}/postroad"
}

all_healthy() {
    for _ in $(seq 240); do
        [[ $(docker ps -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --filter health=healthy | wc -l) = 8 ]] && return
        sleep 0.25
    done
    dc ps
    return 1
}

container() { docker ps -aq --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --filter "label=com.docker.compose.service=$1"; }
network() { docker network ls -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --filter "label=com.docker.compose.network=$1"; }

postroad() { target/image/postroad "$@"; }

# send FROM TO: sends messages with these numbers; fails if one is not acknowledged.
send() {
    local number
    for number in $(seq "$1" "$2"); do
        postroad send --server 127.0.0.1:1587 --from me@163.test --to friend@sina.test --subject "message $number." || return
    done
}

# have FROM TO: whether all of them are in the mailbox; prints the number of duplicates.
have() {
    rm -rf "$work/mail"
    postroad fetch --imap --server 127.0.0.1:1143 --user friend@sina.test -o "$work/mail" >/dev/null || return
    local number missing=0
    for number in $(seq "$1" "$2"); do
        grep -qrF "Subject: message $number." "$work/mail" || missing=$((missing + 1))
    done
    echo "$missing of $2 missing"
    [[ $missing = 0 ]]
}

arrive() { for _ in $(seq 60); do have "$@" && return; sleep 1; done; return 1; }
once() { [[ $(grep -rhF 'Subject: message ' "$work/mail" | sort | uniq -d | wc -l) = 0 ]]; }
bounced() {
    for _ in $(seq 60); do
        postroad fetch --imap --server 127.0.0.1:2143 --user me@163.test -o "$work/bounces" && grep -qrF nobody@sina.test "$work/bounces" && return
        sleep 0.5
    done
    return 1
}

ask() { curl -sSf -H 'Authorization: Bearer postroad' "http://127.0.0.1:8025/api/v1/$1"; }

journey_across() {
    local id
    id=$(ask journeys?limit=1000 | grep -o '"id":"[0-9A-Z]*"' | head -1 | cut -d'"' -f4)
    ask "journeys/$id" >"$work/journey" || return
    for host in mta-163 mta-relay mta-sina mda-sina; do grep -qF "\"host\":\"$host\"" "$work/journey" || { echo "nothing of $host"; cat "$work/journey"; return 1; }; done
}

# The image in the place of Mailpit's; needs Python and PyPI. There is no image of testcontainers' own reaper without a registry.
testcontainers() {
    python3 -m venv "$work/venv" && "$work/venv/bin/python" -m pip install --quiet 'testcontainers[mailpit]==4.15.0' &&
        TESTCONTAINERS_RYUK_DISABLED=true timeout 120 "$work/venv/bin/python" tests/clients/with_testcontainers.py postroad:latest
}

check 'a static binary' static_binary
check 'an image of it' dc build control
printf '         image of %s bytes, binary of %s\n' "$(docker image inspect -f '{{.Size}}' postroad:latest)" "$(stat -c %s target/image/postroad)"
check 'testcontainers for Mailpit, with this image' testcontainers
began=$(date +%s%N)
check 'all containers start' dc up -d
check 'all are healthy' all_healthy
printf '         ready after %d ms\n' $((($(date +%s%N) - began) / 1000000))
dc ps 2>/dev/null | sed 's/^/         /'
check 'nothing runs as root' test "$(docker inspect -f '{{.Config.User}}' "$(container mta-163)")" = 10001:10001
dc run --rm tests >"$work/out" 2>&1
count $? 'docker-compose run --rm tests: a message through the containers, intact by POP3 and by IMAP'
sed 's/^/         /' "$work/out"
refuse 'the mua cannot reach the recipient'\''s servers' docker exec "$(container mua)" /postroad get http://198.18.0.218:8025/readyz --timeout 3s -o /tmp/ready
check 'while it reaches its own' docker exec "$(container mua)" /postroad get http://198.18.0.26:8025/readyz --timeout 3s -o /tmp/ready
check 'one journey across four containers' journey_across
refuse 'without the token, nothing' curl -sSf http://127.0.0.1:8025/api/v1/journeys
check 'a message to an unknown user' postroad send --server 127.0.0.1:1587 --from me@163.test --to nobody@sina.test
check 'its bounce comes back' bounced

check 'the relay stops' dc stop mta-relay
check "$messages messages meanwhile" send 1 "$messages"
check 'the relay starts' dc start mta-relay
check 'all arrive' arrive 1 "$messages"
check 'each once' once

check 'a host is paused' dc pause mta-sina
check "$messages more meanwhile" send $((messages + 1)) $((messages * 2))
check 'it goes on' dc unpause mta-sina
check 'all arrive' arrive 1 $((messages * 2))

check 'a link is cut' docker network disconnect "$(network link-sina)" "$(container mta-sina)"
check "$messages more meanwhile" send $((messages * 2 + 1)) $((messages * 3))
check 'the link is back' docker network connect --ip 198.18.0.154 "$(network link-sina)" "$(container mta-sina)"
check 'all arrive' arrive 1 $((messages * 3))

# Hosts are killed under load: the last reply may be lost, so that a message may arrive twice, but none is missing.
send $((messages * 3 + 1)) $((messages * 5)) >"$work/sent" 2>&1 &
sending=$!
for host in mta-relay mta-sina mda-sina mta-relay; do
    sleep 0.3
    check "$host is killed while mail goes through" dc kill -s SIGKILL "$host"
    check "$host starts again" dc start "$host"
done
wait "$sending"
count $? "$((messages * 2)) messages were acknowledged meanwhile"
check 'all arrive' arrive 1 $((messages * 5))
dc restart -t 40 mda-sina >/dev/null 2>&1
check 'all healthy again' all_healthy
check 'and all are there after the mailbox host restarted' arrive 1 $((messages * 5))
dc run --rm tests >"$work/out" 2>&1
count $? 'a last message through all hosts'

# The same with Postfix as the relay, and Dovecot.
neighbours() { dc -f docker-compose.yml -f docker-compose.neighbours.yml "$@"; }
dovecot_has() {
    for _ in $(seq 60); do
        postroad fetch --imap --security plain --server 127.0.0.1:3143 --user ann@dovecot.test -o "$work/dovecot" && grep -qrF "$1" "$work/dovecot" && return
        sleep 0.5
    done
    return 1
}
check 'images of Postfix and Dovecot' neighbours build mta-relay dovecot
check 'they come up in the middle' neighbours up -d
check 'all are healthy' all_healthy
check "$messages messages through Postfix" send $((messages * 5 + 1)) $((messages * 6))
check 'all arrive' arrive $((messages * 5 + 1)) $((messages * 6))
check 'they came through Postfix' grep -qrF '(Postfix)' "$work/mail"
check 'a message for a mailbox at Dovecot' postroad send --server 127.0.0.1:1587 --from me@163.test --to ann@dovecot.test --subject 'beside ours'
check 'it is there' dovecot_has 'beside ours'

printf '%d passed, %d failed\n' "$passed" "$failed"
[[ $failed = 0 ]]
