"""A program that is refused and tries again, seen in /api/v1/sessions. Arguments: ports of HTTP, SMTP, submission, submissions."""

import json
import smtplib
import socket
import ssl
import sys
import urllib.parse
import urllib.request

http, smtp, submission, submissions = map(int, sys.argv[1:])
base = f"http://127.0.0.1:{http}/api/v1"


def ask(path, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=40) as answer:
        return json.load(answer)


def found(**query):
    """The only conversation that a search finds once it has ended, with what was said."""
    page = ask("/sessions?" + urllib.parse.urlencode({"open": "false", "wait": "30s", **query}))
    assert page["total"] == len(page["sessions"]) == 1, (query, page)
    return ask(f"/sessions/{page['sessions'][0]['id']}")


def refusing(at, reply):
    return ask("/faults", "POST", {"kind": "reply", "host": "mta-163", "at": at, "reply": reply})["id"]


def queued(reply):
    return reply.split(b"queued as ")[1].split(b"-")[0].decode()


# A wrong password, a sender that is refused for now and a recipient that is refused for good; then it succeeds: one connection.
with smtplib.SMTP("127.0.0.1", submission, local_hostname="app.python.test") as client:
    try:
        client.login("me@163.test", "sesame")
        raise AssertionError("the wrong password was accepted")
    except smtplib.SMTPAuthenticationError as error:
        assert error.smtp_code == 535, error
    client.login("me@163.test", "postroad")
    fault = refusing("mail", "450 4.2.0 try again")
    try:
        client.sendmail("me@163.test", ["friend@sina.test"], "Subject: python\r\n\r\nx\r\n")
        raise AssertionError("the sender was accepted")
    except smtplib.SMTPSenderRefused as error:
        assert (error.smtp_code, error.smtp_error) == (450, b"4.2.0 try again"), error
    ask(f"/faults/{fault}", "DELETE")
    client.mail("me@163.test")
    code, reply = client.rcpt("no.body@163.test")
    assert code == 550, reply
    client.rcpt("friend@sina.test")
    code, reply = client.data("Subject: python\r\n\r\nx\r\n")
    assert code == 250, reply
    journey = queued(reply)

session = found(client="app.python.test")
assert session["outcome"] == ["accepted", "logged_in", "refused", "wrong_password"], session["outcome"]
assert (session["accepted"], session["journeys"], session["login"]) == (1, [journey], "me@163.test"), session
# smtplib tries AUTH PLAIN and AUTH LOGIN.
refusals = [(one["command"].split(":")[0].upper(), one["reply"][:3]) for one in session["refusals"]]
assert refusals == [("AUTH PLAIN ***", "535"), ("***", "535"), ("MAIL FROM", "450"), ("RCPT TO", "550")], session["refusals"]
assert session["refused"] == len(refusals), session
assert found(journey=journey)["id"] == session["id"]
# The journey that it led to says from which conversation it came.
story = ask(f"/journeys/{journey}?wait=30s")
assert story["events"][0]["step"] == "received" and story["events"][0]["session"] == session["id"], story
assert story["recipients"]["friend@sina.test"]["status"] == "delivered", story

# A client that does not know the world's authority hangs up in the handshake.
try:
    smtplib.SMTP_SSL("localhost", submissions, context=ssl.create_default_context())
    raise AssertionError("the certificate was taken")
except ssl.SSLCertVerificationError:
    pass
session = found(protocol="submission", outcome="tls_failed")
assert "TLS" in session["error"] and session["tls"] is None and session["journeys"] == [], session

# A wrong password, and no more.
with smtplib.SMTP("127.0.0.1", submission, local_hostname="guess.python.test") as client:
    try:
        client.login("friend@sina.test", "sesame")
        raise AssertionError("the wrong password was accepted")
    except smtplib.SMTPAuthenticationError as error:
        assert error.smtp_code == 535, error
session = found(outcome="wrong_password", login="friend@sina.test")
assert session["hello"] == "guess.python.test" and "sesame" not in json.dumps(session), session

# Hung up in the middle of DATA.
client = smtplib.SMTP("127.0.0.1", smtp, local_hostname="half.python.test")
client.ehlo()
client.mail("me@163.test")
client.rcpt("friend@sina.test")
assert client.docmd("DATA")[0] == 354
client.sock.sendall(b"Subject: half\r\n\r\nand then")
client.sock.shutdown(socket.SHUT_RDWR)
client.close()
session = found(outcome="hung_up_in_data")
assert session["hello"] == "half.python.test" and session["journeys"] == [], session
assert session["dialogue"]["lines"][-1][:2] == ["C", "(25 bytes of message data)"], session["dialogue"]
