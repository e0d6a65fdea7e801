"""The mail clients of Python's standard library. Arguments: CA file, ports of SMTP, submission, IMAP, IMAPS, POP3S."""

import imaplib
import poplib
import smtplib
import ssl
import sys
import time

context = ssl.create_default_context(cafile=sys.argv[1])
open_smtp, submission, imap, imaps, pop3s = map(int, sys.argv[2:])

with smtplib.SMTP("127.0.0.1", open_smtp) as smtp:
    smtp.ehlo()
    assert not smtp.has_extn("starttls")
    assert smtp.sendmail("me@163.test", ["friend@sina.test"], "Subject: default settings\r\n\r\nhello\r\n") == {}

with smtplib.SMTP("localhost", submission) as smtp:
    smtp.starttls(context=context)
    smtp.login("me@163.test", "postroad")
    text = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nfrom smtplib\r\n"
    assert smtp.sendmail("me@163.test", ["friend@sina.test"], text) == {}

with imaplib.IMAP4_SSL("localhost", imaps, ssl_context=context) as box:
    box.login("friend@sina.test", "postroad")
    assert box.select("INBOX")[0] == "OK"
    for _ in range(100):
        box.noop()
        found = box.search(None, "SUBJECT", "Gr")[1][0].split()
        if found:
            break
        time.sleep(0.1)
    assert len(found) == 1, found
    answer = box.fetch(found[0], "(UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)")[1]
    assert b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=" in answer[0], answer
    assert b"from smtplib" in box.fetch(found[0], "(BODY.PEEK[TEXT])")[1][0][1]
    assert box.create("Kept/2026")[0] == "OK"
    assert box.append("Kept", "(\\Seen)", None, b"Subject: kept\r\n\r\nkept\r\n")[0] == "OK"
    assert box.store(found[0], "+FLAGS", "(\\Answered $Label1)")[0] == "OK"
    assert box.copy(found[0], "Kept")[0] == "OK"
    assert box.select("Kept")[1] == [b"2"]
    assert box.search(None, "ANSWERED", "KEYWORD", "$Label1")[1] == [b"2"]
    assert box.store("1", "+FLAGS", "(\\Deleted)")[0] == "OK"
    assert box.expunge()[1] == [b"1"]
    assert box._simple_command("MOVE", "1", "Kept/2026")[0] == "OK"
    assert box.select("Kept")[1] == [b"0"] and box.select("Kept/2026")[1] == [b"1"]
    assert any(b"Kept/2026" in line for line in box.list()[1])

with imaplib.IMAP4("localhost", imap) as box:
    box.starttls(context)
    box.login("friend@sina.test", "postroad")

pop = poplib.POP3_SSL("localhost", pop3s, context=context)
pop.user("friend@sina.test")
pop.pass_("postroad")
count, _ = pop.stat()
assert len(pop.uidl()[1]) == count
assert any(b"from smtplib" in line for line in pop.retr(count)[1])
assert pop.top(count, 0)[0].startswith(b"+OK")
pop.quit()
