"""imapclient, a library of PyPI. Arguments: CA file, ports of IMAPS and submission."""

import smtplib
import ssl
import sys

from imapclient import IMAPClient

ca, imaps, submission = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context(cafile=ca)

with IMAPClient("localhost", port=imaps, ssl_context=context, timeout=10) as box:
    box.login("friend@sina.test", "postroad")
    assert box.namespace().personal[0][0] == "", box.namespace()
    assert box.find_special_folder(b"\\Trash") == "Trash"
    state = box.select_folder("INBOX")
    total = state[b"EXISTS"]
    assert box.search(["SUBJECT", "message 7"]) != [] and len(box.search(["TEXT", "Body 7"])) == 1
    greeting = box.search(["SUBJECT", "Gr\u00fc\u00dfe"], charset="UTF-8")
    assert len(greeting) == 1, greeting
    body = box.fetch(greeting, ["BODYSTRUCTURE", "ENVELOPE", "RFC822.SIZE", "BODY.PEEK[2]"])[greeting[0]]
    assert body[b"BODYSTRUCTURE"].is_multipart and body[b"BODY[2]"].strip() == b"AAECAwQFBgcICQ=="
    assert body[b"ENVELOPE"].message_id == b"<20@163.test>"

    nine = box.search(["HEADER", "Message-ID", "<9@163.test>"])
    assert {b"\\Seen", b"urgent"} <= set(box.add_flags(nine, [b"\\Seen", b"urgent"])[nine[0]])
    assert box.search(["KEYWORD", "urgent"]) == nine
    box.create_folder("Projekte/Gr\u00fcn")
    assert any(name == "Projekte/Gr\u00fcn" for _, _, name in box.list_folders())
    box.copy(nine, "Projekte/Gr\u00fcn")
    box.rename_folder("Projekte/Gr\u00fcn", "Projekte/Blau")
    assert box.folder_status("Projekte/Blau", ["MESSAGES"])[b"MESSAGES"] == 1
    box.append("Projekte/Blau", b"Subject: appended\r\n\r\nhere\r\n", flags=[b"\\Draft"])
    box.select_folder("Projekte/Blau")
    box.move(box.search(["UNDRAFT"]), "Trash")
    draft = box.search(["DRAFT"])
    box.delete_messages(draft)
    box.expunge()
    assert box.search() == []
    box.unselect_folder()
    box.delete_folder("Projekte/Blau")
    assert box.folder_status("Trash", ["MESSAGES"])[b"MESSAGES"] == 1
    known = box.select_folder("INBOX")[b"HIGHESTMODSEQ"]
    assert len(box.sort("REVERSE DATE")) == total
    assert sum(len(thread) for thread in box.thread("REFERENCES")) == total
    everything = box.search()
    assert box.fetch(everything, ["FLAGS"], [f"CHANGEDSINCE {known}"]) == {}
    box.add_flags(nine, [b"\\Answered"])
    assert list(box.fetch(everything, ["FLAGS"], [f"CHANGEDSINCE {known}"])) == nine
    box.get_quota("INBOX")

    box.select_folder("INBOX")
    box.idle()
    with smtplib.SMTP("localhost", submission) as smtp:
        smtp.starttls(context=context)
        smtp.login("me@163.test", "postroad")
        smtp.sendmail("me@163.test", ["friend@sina.test"], "Subject: while idle\r\n\r\nhello\r\n")
    told = []
    while (total + 1, b"EXISTS") not in told:
        heard = box.idle_check(timeout=10)
        assert heard, "no notification of the new message"
        told += heard
    box.idle_done()
    assert len(box.search(["SUBJECT", "while idle"])) == 1


# Offline: what others did meanwhile, and what was done here, is the same for both after the next connection.
def connect():
    other = IMAPClient("localhost", port=imaps, ssl_context=context, timeout=10)
    other.login("friend@sina.test", "postroad")
    return other, other.select_folder("INBOX")


box, before = connect()
copy = box.search()
box.logout()
other, _ = connect()
appended = other.append("INBOX", b"Subject: while offline\r\n\r\nhello\r\n")
other.add_flags(nine, [b"\\Flagged"])
gone = other.search(["SUBJECT", "while idle"])
other.delete_messages(gone)
other.uid_expunge(gone)
other.logout()

box, now = connect()
assert now[b"UIDVALIDITY"] == before[b"UIDVALIDITY"] and now[b"HIGHESTMODSEQ"] > before[b"HIGHESTMODSEQ"]
changed = box.fetch(copy, ["FLAGS"], [f"CHANGEDSINCE {before[b'HIGHESTMODSEQ']}"])
assert list(changed) == nine and b"\\Flagged" in changed[nine[0]][b"FLAGS"], changed
left = box.search()
assert set(copy) - set(left) == set(gone)
new = set(left) - set(copy)
assert len(new) == 1 and min(new) >= before[b"UIDNEXT"] and str(min(new)).encode() in appended, (new, appended)
box.remove_flags(nine, [b"\\Flagged"])
box.delete_messages(new)
box.uid_expunge(new)
box.logout()
other, _ = connect()
assert other.search(["FLAGGED", "UID", nine[0]]) == [] and set(other.search()) == set(copy) - set(gone)
other.logout()
