"""imap-tools, a library of PyPI. Arguments: CA file, port of IMAPS."""

import ssl
import sys

from imap_tools import AND, MailBox, MailMessageFlags

context = ssl.create_default_context(cafile=sys.argv[1])
with MailBox("localhost", port=int(sys.argv[2]), ssl_context=context, timeout=10).login("friend@sina.test", "postroad") as box:
    total = box.folder.status("INBOX")["MESSAGES"]
    assert len(list(box.fetch(mark_seen=False, bulk=True))) == total
    assert len(list(box.fetch(mark_seen=False, headers_only=True, reverse=True, limit=5))) == 5
    message = next(box.fetch(AND(subject="Gr\u00fc\u00dfe"), charset="UTF-8", mark_seen=False))
    assert message.subject == "Gr\u00fc\u00dfe" and message.text.strip() == "Sch\u00f6ne Gr\u00fc\u00dfe"
    assert [(a.filename, a.payload) for a in message.attachments] == [("data.bin", bytes(range(10)))]
    assert message.from_ == "me@163.test" and message.to == ("friend@sina.test",)

    box.flag(message.uid, [MailMessageFlags.ANSWERED, "mine"], True)
    assert [m.uid for m in box.fetch(AND(answered=True, keyword="mine"), mark_seen=False)] == [message.uid]
    box.flag(message.uid, "mine", False)
    assert box.uids(AND(keyword="mine")) == []
    box.folder.create("Kept")
    box.copy(message.uid, "Kept")
    box.append(b"Subject: appended\r\n\r\nhere\r\n", "Kept", flag_set=[MailMessageFlags.SEEN])
    box.folder.set("Kept")
    assert len(box.uids()) == 2
    box.move(box.uids(AND(seen=True)), "Junk")
    box.delete(box.uids())
    assert box.uids() == [] and box.folder.status("Junk")["MESSAGES"] >= 1
    box.folder.set("INBOX")
    box.folder.rename("Kept", "Gone")
    box.folder.delete("Gone")
    assert not box.folder.exists("Gone")
