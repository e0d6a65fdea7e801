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
    assert box.search(["SUBJECT", "letter 7"]) != [] and len(box.search(["TEXT", "Body 7"])) == 1
    greeting = box.search(["SUBJECT", "Gr\u00fc\u00dfe"], charset="UTF-8")
    assert len(greeting) == 1, greeting
    body = box.fetch(greeting, ["BODYSTRUCTURE", "ENVELOPE", "RFC822.SIZE", "BODY.PEEK[2]"])[greeting[0]]
    assert body[b"BODYSTRUCTURE"].is_multipart and body[b"BODY[2]"].strip() == b"AAECAwQFBgcICQ=="
    assert body[b"ENVELOPE"].message_id == b"<20@163.test>"

    five = box.search(["HEADER", "Message-ID", "<5@163.test>"])
    assert {b"\\Seen", b"urgent"} <= set(box.add_flags(five, [b"\\Seen", b"urgent"])[five[0]])
    assert box.search(["KEYWORD", "urgent"]) == five
    box.create_folder("Projekte/Gr\u00fcn")
    assert any(name == "Projekte/Gr\u00fcn" for _, _, name in box.list_folders())
    box.copy(five, "Projekte/Gr\u00fcn")
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
    assert box.fetch("1:*", ["FLAGS"], [f"CHANGEDSINCE {known}"]) == {}
    box.add_flags(five, [b"\\Answered"])
    assert list(box.fetch("1:*", ["FLAGS"], [f"CHANGEDSINCE {known}"])) == five
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
        assert heard, "told nothing of the new message"
        told += heard
    box.idle_done()
    assert len(box.search(["SUBJECT", "while idle"])) == 1
