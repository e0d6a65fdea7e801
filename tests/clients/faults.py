"""smtplib, imaplib and poplib at the public ports of a world whose hosts and links have faults.

Arguments: HOST:PORT of the control interface. The world is config/journey.toml.
"""

import imaplib
import json
import poplib
import smtplib
import socket
import struct
import sys
import time
import urllib.error
import urllib.request

CONTROL = f"http://{sys.argv[1]}/api/v1"
TIMEOUT = 20


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(CONTROL + path, data, headers, method=method)
    return json.load(urllib.request.urlopen(request, timeout=60))


PORTS = {name: (at.rsplit(":")[0], int(at.rsplit(":")[1])) for name, at in ask("GET", "/ports").items()}


class Fault:
    """A fault, until the end of the block."""

    def __init__(self, kind, **settings):
        self.fault = {"kind": kind, **settings}

    def __enter__(self):
        self.id = ask("POST", "/faults", self.fault)["id"]
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.id:
            ask("DELETE", f"/faults/{self.id}")
        self.id = None


def link(kind, one, other, direction="both", **settings):
    return Fault(kind, between=[one, other], direction=direction, **settings)


def smtp(timeout=TIMEOUT):
    return smtplib.SMTP(*PORTS["smtp"], local_hostname="program.test", timeout=timeout)


def imap(user=None, timeout=TIMEOUT):
    client = imaplib.IMAP4(*PORTS["imap"], timeout=timeout)
    if user:
        client.login(user, "postroad")
    return client


def pop3(user=None, timeout=TIMEOUT):
    client = poplib.POP3(*PORTS["pop3"], timeout=timeout)
    if user:
        client.user(user)
        client.pass_("postroad")
    return client


def raises(errors, call, *words):
    """The call raises one of these errors, whose text has these words."""
    try:
        outcome = call()
    except errors as error:
        text = " ".join(str(part) for part in (error, *error.args))
        assert all(word in text for word in words), (text, words)
        return
    raise AssertionError(f"no error but {outcome!r}")


def seconds(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began


def send(client, sender):
    client.sendmail(sender, ["friend@sina.test"], "Subject: hello\r\n\r\nHello!\r\n")


BROKEN = (OSError, EOFError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException)
ME, FRIEND = "me@163.test", "friend@sina.test"


def hosts_that_are_off():
    for kind in ("off", "crash"):
        for host, opened in (("mta-163", [smtp]), ("mda-163", [imap, pop3])):
            sessions = [client() for client in opened]
            with Fault(kind, host=host):
                for client in opened:
                    raises(ConnectionRefusedError, client)
                for session in sessions:
                    raises(BROKEN, lambda: assert_ok(session.noop()))
            for client in opened:
                client()
    # Relays and others are behind no port.
    with Fault("off", host="mta-relay"), Fault("off", host="mta-sina"):
        send(smtp(), ME)


def assert_ok(reply):
    if isinstance(reply, tuple) and reply[0] != 250 and reply[0] != "OK":
        raise smtplib.SMTPException(repr(reply))


def mailboxes_of_a_host_that_is_off():
    for kind in ("off", "crash"):
        session, drop = imap(FRIEND), None
        session.select()
        with Fault(kind, host="mda-sina"):
            raises(BROKEN, lambda: assert_ok(session.noop()))
            raises(imaplib.IMAP4.error, lambda: imap(FRIEND), "UNAVAILABLE")
            raises(poplib.error_proto, lambda: pop3(FRIEND), "[SYS/TEMP]")
            raises(imaplib.IMAP4.error, lambda: imap().login(FRIEND, "wrong"), "AUTHENTICATIONFAILED")
            assert imap(ME).select()[0] == "OK"
            pop3(ME).quit()
        assert imap(FRIEND).select()[0] == "OK"
        drop = pop3(FRIEND)
        with Fault(kind, host="mda-sina"):
            raises(BROKEN, drop.noop)
        pop3(FRIEND).quit()


def providers_that_are_off():
    open_session = smtp()
    open_session.ehlo()
    with Fault("off", host="mta-sina"):
        raises(smtplib.SMTPSenderRefused, lambda: send(open_session, FRIEND), "451", "4.3.2 mx.sina.test is not running")
        send(open_session, ME)
    send(open_session, FRIEND)
    # It stops in the middle of a transaction: nothing is accepted for its queue.
    assert open_session.mail(FRIEND)[0] == 250 and open_session.rcpt(ME)[0] == 250
    with Fault("crash", host="mta-sina"):
        assert open_session.data("Subject: never\r\n\r\n")[0] == 451
    with Fault("reply", host="mta-sina", at="mail", reply="450 4.2.0 not you"):
        raises(smtplib.SMTPSenderRefused, lambda: send(smtp(), FRIEND), "4.2.0 not you")
        send(smtp(), ME)


def slow_links():
    with link("slow", "outside", "mta-163", latency="300ms"):
        # The greeting; then there and back.
        assert 0.3 <= seconds(smtp)
        session = smtp()
        assert 0.6 <= seconds(session.ehlo)
    assert seconds(session.noop) < 0.3
    with link("slow", "outside", "mda-163", latency="800ms", direction="there"):
        client = imap()
        assert 0.8 <= seconds(client.noop) < 1.6
    # From the login on, it is the link of the host with the mailboxes.
    friend, me = imap(FRIEND), imap(ME)
    with link("slow", "mda-sina", "outside", latency="300ms"):
        assert 0.6 <= seconds(friend.noop) and seconds(me.noop) < 0.3
        drop = pop3(FRIEND)
        assert 0.6 <= seconds(drop.noop)
    with link("slow", "outside", "mda-163", bandwidth=100):
        assert 0.3 <= seconds(imap)


def cut_and_stalled_links():
    for fault in (
        lambda: link("cut", "outside", "mda-163"),
        lambda: link("cut", "mda-163", "outside", direction="there"),
        lambda: link("stall", "outside", "mda-163"),
        lambda: link("stall", "outside", "mda-163", direction="there"),
    ):
        session = pop3()
        session.user(ME)
        with fault() as injected:
            session.sock.settimeout(0.5)
            raises(TimeoutError, session.noop)
            injected.end()
            session.sock.settimeout(TIMEOUT)
            # What was sent arrives now.
            reply = session.sock.recv(100)
            assert reply.startswith(b"-ERR"), reply
        imap(ME)
    with link("cut", "outside", "mta-163"):
        raises(smtplib.SMTPServerDisconnected, lambda: smtp(timeout=0.5), "timed out")
    smtp()


def connected(address):
    """A connection, which on a busy machine may be reset before this program knows that it has one."""
    for _ in range(5):
        try:
            return socket.create_connection(address, timeout=TIMEOUT)
        except ConnectionResetError:
            pass
    raise AssertionError("always reset before it is connected")


def links_that_reset_or_refuse():
    with link("reset", "mta-163", "outside", direction="there", after=10):
        with connected(PORTS["smtp"]) as raw:
            assert read_all(raw) == b"220 mx.163"
    session = imap(ME)
    with link("reset", "outside", "mda-163", after=0):
        raises(BROKEN, session.noop)
        raises(BROKEN, imap)
    session = imap(ME)
    with link("refuse", "outside", "mda-163"):
        # The port closes, and opens again, a moment after the fault.
        time.sleep(0.2)
        raises(ConnectionRefusedError, imap)
        raises(ConnectionRefusedError, pop3)
        assert session.select()[0] == "OK"
        smtp()
    time.sleep(0.2)
    imap(ME)


def read_all(raw):
    """What arrives before the connection is reset."""
    got = b""
    while True:
        try:
            part = raw.recv(1000)
        except ConnectionResetError:
            return got
        assert part, "closed in order"
        got += part


def names():
    query = struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x04sina\x04test\x00" + struct.pack("!2H", 15, 1)

    def code():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(0.5)
            udp.connect(PORTS["dns"])
            udp.send(query)
            return udp.recv(512)[3] & 15

    assert code() == 0
    with Fault("dns", names="no-such-name", about="sina.test"):
        assert code() == 3
    with link("cut", "outside", "dns"):
        raises(TimeoutError, code)
    with Fault("off", host="dns"):
        raises(OSError, code)
        raises(ConnectionRefusedError, lambda: socket.create_connection(PORTS["dns"], timeout=TIMEOUT))
    assert code() == 0
    with link("slow", "outside", "dns", latency="100ms"):
        assert 0.2 <= seconds(code)


def greetings():
    with socket.create_connection(PORTS["smtp"], timeout=TIMEOUT) as raw:
        assert raw.recv(100).startswith(b"220 mx.163.test ")
    assert b"mail.163.test" in imap().welcome and b"mail.163.test" in pop3().welcome
    hosts = {host["name"]: sorted(host.get("ports", {})) for host in ask("GET", "/hosts")}
    assert hosts["mta-163"] == ["smtp", "submission", "submissions"] and hosts["dns"] == ["dns"]
    assert hosts["mda-163"] == ["imap", "imaps", "pop3", "pop3s"] and hosts["mda-sina"] == []


def faults_that_cannot_apply():
    for fault, words in (
        ({"kind": "slow", "between": ["outside", "mta-relay"], "latency": "1s"}, "no public port leads to mta-relay"),
        ({"kind": "refuse", "between": ["outside", "mda-sina"]}, "no public port belongs to mda-sina"),
        ({"kind": "refuse", "between": ["mda-163", "outside"], "direction": "there"}, "connects to nothing outside"),
        ({"kind": "cut", "between": ["outside", "outside"]}, "no link between outside and itself"),
        ({"kind": "cut", "between": ["mta-163", "mta-163"]}, "no link between mta-163 and itself"),
        ({"kind": "slow", "between": ["mta-163", "mta-relay"]}, "nothing is slow"),
        ({"kind": "off", "host": "mua"}, "mua is a MUA"),
        ({"kind": "off", "host": "outside"}, "no host `outside`"),
        ({"kind": "disk-full", "host": "dns"}, "dns stores nothing"),
        ({"kind": "disk-slow", "host": "mta-163", "by": "0s"}, "set `by`"),
        ({"kind": "tls", "host": "dns", "certificate": "absent"}, "dns is no mail server"),
        ({"kind": "reply", "host": "mua", "at": "rcpt"}, "mua is no mail server"),
        ({"kind": "reply", "host": "mta-163", "at": "rcpt", "share": 0}, "share of 0"),
        ({"kind": "dns", "names": "slow"}, "set `by`"),
        ({"kind": "dns", "names": "silent", "by": "2s"}, "leave it out"),
        ({"kind": "dns", "names": "silent", "host": "mta-163"}, "leave it out"),
        ({"kind": "dns", "names": "moved", "host": "mda-163"}, "mda-163 accepts no mail"),
    ):
        try:
            raise AssertionError(f"begun: {ask('POST', '/faults', fault)}")
        except urllib.error.HTTPError as error:
            text = json.load(error)["detail"]
            assert error.code == 400 and words in text, (fault, text)
    assert ask("GET", "/faults") == []


for step in (
    greetings,
    hosts_that_are_off,
    mailboxes_of_a_host_that_is_off,
    providers_that_are_off,
    slow_links,
    cut_and_stalled_links,
    links_that_reset_or_refuse,
    names,
    faults_that_cannot_apply,
):
    step()
    print(step.__name__, flush=True)
assert ask("GET", "/faults") == []
