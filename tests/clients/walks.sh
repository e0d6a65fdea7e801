# What clients of one kind are put through: mutt and neomutt, and whatever keeps a Maildir in step with the server.
# $count is the number of messages in friend's INBOX.

# walk_mutt PROGRAM: sends, reads, searches, flags, moves and deletes.
walk_mutt() {
    local program=$1 url kind take kept
    home "$program"
    cat >"$HOME/rc" <<RC
set ssl_ca_certificates_file="$work/ca.pem" certificate_file="$work/ca.pem"
set imap_user=friend@sina.test imap_pass=postroad pop_user=friend@sina.test pop_pass=postroad
set smtp_url="smtps://me@163.test@localhost:$submissions/" smtp_pass=postroad from=me@163.test realname=Me
set header_cache="$HOME/headers" imap_qresync=yes record="" mbox="$HOME/mbox" folder="$HOME" confirmcreate=no move=no
set quit=yes wait_key=no pop_delete=no pop_checkinterval=0 delete=yes confirmappend=no sleep_time=0
RC
    printf 'sent by %s\n' "$program" >"$HOME/words"
    export run_mutt="$program -n -F '$HOME/rc'"
    # It wants a terminal.
    box() { TERM=vt100 script -qec "$run_mutt -f '$1' -e '$2'" /dev/null </dev/null; }
    # copied FILE KEYS N: N messages come into the file when the keys choose messages and copy what was chosen to it.
    copied() {
        box "$1" "$2<copy-message>$HOME/$3<enter><exit>"
        [[ $(grep -c '^To: friend@sina.test' "$HOME/$3") = "$4" ]]
    }
    export -f box copied
    check "$program submits, TLS" bash -c \
        "$run_mutt -s 'by $program' -a '$HOME/rc' -- friend@sina.test <'$HOME/words' && has $((count += 1))" && seen "$program" send
    take='push <tag-pattern>~A<enter><tag-prefix>'
    for url in "imaps://localhost:$imaps/INBOX" "imap://localhost:$imap/INBOX" "pops://localhost:$pop3s" "pop://localhost:$pop3"; do
        kind=${url%%:*}
        check "$program copies all messages, $kind" copied "$url" "$take" "$kind" "$count" && seen "$program" read
    done
    # neomutt has it not.
    [[ $program != mutt ]] || check "$program copies all messages, COMPRESS=DEFLATE" copied \
        "imaps://localhost:$imaps/INBOX" "set imap_deflate=yes; $take" deflate "$count"
    check "$program has the server search" copied \
        "imaps://localhost:$imaps/INBOX" "push <tag-pattern>=b${program}<enter><tag-prefix>" found 1 && seen "$program" search
    # It keeps headers and flags, and asks only for what has changed since (QRESYNC).
    ask 'STORE 1:* -FLAGS.SILENT (\Flagged)' >/dev/null
    ask 'STORE 2 +FLAGS.SILENT (\Flagged)' >/dev/null
    ask 'STORE 3 +FLAGS.SILENT (\Deleted)' >/dev/null
    ask EXPUNGE >/dev/null
    check "$program hears of what others flagged, QRESYNC" copied \
        "imaps://localhost:$imaps/INBOX" 'push <tag-pattern>~F<enter><tag-prefix>' flagged 1
    check "$program hears of what others deleted, QRESYNC" copied \
        "imaps://localhost:$imaps/INBOX" "$take" left $((count -= 1))
    ask 'STORE 2 -FLAGS.SILENT (\Flagged)' >/dev/null
    kept=$(status Archive | grep -oE '[0-9]+')
    check "$program flags one and moves one to Archive" bash -c "box 'imaps://localhost:$imaps/INBOX' \
        'push <first-entry><flag-message><last-entry><save-message>imaps://localhost:$imaps/Archive<enter><quit>'; \
        has $((count -= 1)) && has $((kept + 1)) Archive && holds FLAGGED 1" && seen "$program" flag move
    check "$program deletes one" bash -c "box 'imaps://localhost:$imaps/INBOX' \
        'push <last-entry><delete-message><sync-mailbox><quit>'; has $((count -= 1))" && seen "$program" delete
}

# The files of a Maildir tree, but for what its owner notes beside them.
tree() { (cd "$HOME/mail" && find . -type f ! -path '*/tmp/*' ! -name '.mbsyncstate*' ! -name '.uidvalidity' -exec md5sum {} + | sort); }
# same: whether another `sync` changes nothing.
same() { local before; before=$(tree) && sync && [[ $before = "$(tree)" ]]; }
# flagged_here FLAG: how many files of INBOX have it in their names.
flagged_here() { find "$HOME/mail/INBOX" -name "*:2,*$1*" | wc -l; }
# pick: a file of INBOX that has no flag yet.
pick() { find "$HOME/mail/INBOX"/{cur,new} -type f \( -name '*:2,' -o ! -name '*:2,*' \) | sort | head -1; }

# walk_maildir CLIENT: `sync` carries what changes on either side to the other: new messages, flags, moves, deletions.
walk_maildir() {
    local here=$HOME/mail/INBOX one name
    for _ in {1..5}; do curl -sS "imap://127.0.0.1:$imap/INBOX" -u "$user" -T "$work/message.eml"; done
    count=$((count + 5))
    ask 'STORE 1:* -FLAGS.SILENT (\Seen \Flagged \Answered)' >/dev/null
    check "$1 pulls every message" bash -c "sync && [[ \$(count_of '$here') = $count ]]" && seen "$1" read
    check "$1 changes nothing the second time" same
    curl -sS "imap://127.0.0.1:$imap/INBOX" -u "$user" -T "$work/message.eml"
    ask 'STORE 1 +FLAGS.SILENT (\Flagged)' >/dev/null
    ask 'MOVE 2 Drafts' >/dev/null
    ask 'STORE 2 +FLAGS.SILENT (\Deleted)' >/dev/null
    ask EXPUNGE >/dev/null
    check "$1 pulls a new message, a flag, a move and a deletion" bash -c "has $((count -= 1)) && sync \
        && [[ \$(count_of '$here') = $count && \$(count_of '$HOME/mail/Drafts') = 1 && \$(flagged_here F) = 1 ]]"
    check "$1 changes nothing after that" same

    one=$(pick) name=${one##*/}
    mv "$one" "$here/cur/${name%%:*}:2,RS"
    one=$(pick)
    mv "$one" "$HOME/mail/Archive/cur/1.moved.here:2,S"
    rm "$(pick)"
    sed 's/^Subject: .*/Subject: from the maildir/' "$work/message.eml" | tr -d '\r' >"$here/cur/1.new.here:2,S"
    local kept
    kept=$(status Archive | grep -oE '[0-9]+')
    check "$1 pushes a new message, a flag, a move and a deletion" bash -c "sync && has $((count -= 1)) && has $((kept + 1)) Archive \
        && holds ANSWERED 1 && holds 'SUBJECT \"from the maildir\" SEEN' 1" && seen "$1" flag move delete sync
    check "$1 changes nothing after that either" same
}
export -f tree same flagged_here pick
