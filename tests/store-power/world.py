"""A served world, its clients, and what it promised them."""

import base64
import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

PASSWORD = "postroad"
ME = "me@163.test"
#: One hop, and three.
RECIPIENTS = [ME, "friend@sina.test", "ann@customer.example"]
TIMEOUT = 30
#: How long deliveries may take after a start.
SETTLE = 60
QUEUED = re.compile(rb"queued as (\S+)")
APPENDED = re.compile(rb"^(\S+) OK \[APPENDUID (\d+) (\d+)\]")
LITERAL = re.compile(rb"\{(\d+)\}\r\n$")


class Broken(Exception):
    """The check failed."""


class Served:
    """A running `postroad serve`."""

    def __init__(self, binary, data, scratch, environment=None, wait=True):
        self.ports_file = os.path.join(scratch, f"ports-{os.getpid()}-{next_number()}.json")
        self.log = os.path.join(scratch, f"serve-{next_number()}.log")
        command = [binary, "serve", "--data", data, "--free-ports", "--ports-file", self.ports_file]
        with open(self.log, "wb") as log:
            env = {**os.environ, **(environment or {})}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        running.add(self.process)
        self.ports = None
        if wait:
            self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + TIMEOUT
        while not os.path.exists(self.ports_file):
            if self.process.poll() is not None:
                raise Broken(f"the server does not start: exit code {self.process.returncode}, {self.said()}")
            if end < time.monotonic():
                self.kill()
                raise Broken(f"the server does not get ready in {TIMEOUT} s: {self.said()}")
            time.sleep(0.005)
        with open(self.ports_file, encoding="utf-8") as file:
            self.ports = json.load(file)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:].strip()

    def connect(self, service):
        host, port = self.ports[service].rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def get(self, path):
        """The status and the body of a page; status 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.ports['http']}{path}", timeout=TIMEOUT) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""
        except OSError:
            return 0, b""

    def post(self, path):
        """The status and the body of a request without one."""
        request = urllib.request.Request(f"http://{self.ports['http']}{path}", b"", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def settle(self):
        """Waits until nothing is in a queue."""
        end = time.monotonic() + SETTLE
        while True:
            status, body = self.get("/api/v1/queue?limit=3")
            if status == 200 and json.loads(body)["total"] == 0:
                return
            if self.process.poll() is not None:
                raise Broken(f"the server ended with {self.process.returncode}: {self.said()}")
            if end < time.monotonic():
                raise Broken(f"the queues do not get empty: {body[:600].decode(errors='replace')}")
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()
        running.discard(self.process)
        self.remove_files()

    def stop(self):
        """Stops it cleanly. Returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise Broken(f"the server does not stop in {TIMEOUT} s") from late

    def exit_code(self, seconds):
        """How it ended; `None` if it still lives then."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def remove_files(self):
        for path in (self.ports_file, self.log):
            if os.path.exists(path):
                os.remove(path)


#: Processes that may have to be ended at the end.
running = set()


def end_all():
    """Ends what an interrupted run left."""
    for process in list(running):
        if process.poll() is None:
            process.kill()
            process.wait()


numbers = iter(range(1 << 62))
numbers_lock = threading.Lock()


def next_number():
    with numbers_lock:
        return next(numbers)


class Ledger:
    """What clients were told, and what they asked for."""

    def __init__(self):
        self.lock = threading.Lock()
        #: id of the reply -> [recipient, key, checksum]
        self.messages = {}
        #: tag -> [mailbox, uid validity, uid, checksum]
        self.appends = {}
        #: [tag, tag of the command before, mailbox, uid validity, [uid]]
        self.expunges = []
        #: Tags of expunges whose reply was read.
        self.done = set()

    def as_json(self):
        return {"messages": self.messages, "appends": self.appends, "expunges": self.expunges}

    @classmethod
    def from_json(cls, value):
        ledger = cls()
        ledger.messages, ledger.appends, ledger.expunges = value["messages"], value["appends"], value["expunges"]
        return ledger


def checksum(data):
    return hashlib.sha256(data).hexdigest()[:32]


def make_message(dice, size, key):
    """A message of about `size` bytes that tells its own checksum; its checksum too."""
    body = base64.encodebytes(dice.randbytes(max(1, size * 3 // 4))).replace(b"\n", b"\r\n")
    total = checksum(body)
    # The words of a megabyte of text without meaning would be indexed for seconds.
    kind = "application/octet-stream" if 1_000_000 <= size else "text/plain"
    header = f"From: <{ME}>\r\nSubject: {key}\r\nX-Power: {key} {total}\r\nContent-Type: {kind}\r\n\r\n"
    return header.encode() + body, total


class Smtp:
    """A client that sends over SMTP."""

    def __init__(self, served):
        self.connection = served.connect("smtp")
        self.lines = self.connection.makefile("rb")
        self.expect(self.reply(), b"220")
        self.expect(self.say(b"EHLO power.test"), b"250")

    @staticmethod
    def expect(reply, code):
        if not reply.startswith(code):
            raise OSError(f"not {code}: {reply}")

    def reply(self):
        while True:
            line = self.lines.readline()
            if not line.endswith(b"\n"):
                raise OSError("closed")
            if line[3:4] != b"-":
                return line

    def say(self, command):
        self.connection.sendall(command + b"\r\n")
        return self.reply()

    def send(self, ledger, dice, recipient, size):
        """Sends one message. Returns the reply that decides."""
        key = f"m{next_number()}"
        message, total = make_message(dice, size, key)
        for command in (b"MAIL FROM:<" + ME.encode() + b">", b"RCPT TO:<" + recipient.encode() + b">", b"DATA"):
            reply = self.say(command)
            if reply[:1] not in b"23":
                # The next message begins anew.
                self.say(b"RSET")
                return reply
        reply = self.say(message + b".")
        found = QUEUED.search(reply) if reply.startswith(b"250 ") else None
        if found:
            with ledger.lock:
                ledger.messages[found[1].decode()] = [recipient, key, total]
        return reply

    def close(self):
        self.connection.close()


class Imap:
    """A client that speaks IMAP, every tag of which is used once."""

    def __init__(self, served, user=ME):
        self.connection = served.connect("imap")
        self.lines = self.connection.makefile("rb", 1 << 16)
        self.prefix, self.number = f"P{os.getpid()}x{next_number()}n", 0
        self.lines.readline()
        self.need(f"LOGIN {user} {PASSWORD}")

    def tag(self):
        return f"{self.prefix}{self.number}"

    def say(self, command, literal=None):
        """One command. Returns its tagged reply, and the untagged ones as pairs of a line and its literals."""
        self.number += 1
        tag = self.tag().encode()
        sent = tag + b" " + command.encode()
        if literal is not None:
            sent += b" {%d+}\r\n" % len(literal) + literal
        self.connection.sendall(sent + b"\r\n")
        untagged = []
        while True:
            line, literals = self.lines.readline(), []
            while found := LITERAL.search(line):
                literals.append(self.lines.read(int(found[1])))
                line = line[: found.start()] + self.lines.readline()
            if not line.endswith(b"\n"):
                raise OSError("closed")
            if line.startswith(tag + b" "):
                return line, untagged
            untagged.append((line, literals))

    def need(self, command):
        reply, untagged = self.say(command)
        if reply.split(b" ")[1] != b"OK":
            raise Broken(f"IMAP {command}: {reply.decode(errors='replace').strip()}")
        return untagged

    def append(self, ledger, dice, mailbox, size):
        """Appends one message. Returns its UID, or `None` and the reply."""
        message, _ = make_message(dice, size, f"a{next_number()}")
        reply, _ = self.say(f"APPEND {mailbox}", message)
        found = APPENDED.match(reply)
        if found:
            with ledger.lock:
                ledger.appends[self.tag()] = [mailbox, int(found[2]), int(found[3]), checksum(message)]
        return (int(found[2]), int(found[3])) if found else None, reply

    def expunge(self, ledger, mailbox, validity, uids):
        """Removes messages of the selected mailbox."""
        numbers = ",".join(map(str, uids))
        self.need(f"UID STORE {numbers} +FLAGS.SILENT (\\Deleted)")
        before = self.tag()
        # From now on they may be gone.
        with ledger.lock:
            ledger.expunges.append([f"{self.prefix}{self.number + 1}", before, mailbox, validity, uids])
        self.need(f"UID EXPUNGE {numbers}")
        with ledger.lock:
            ledger.done.add(self.tag())

    def fetch_all(self, mailbox):
        """The UID validity of a mailbox, and its messages by UID; `None` if there is no such mailbox."""
        reply, untagged = self.say(f"SELECT {mailbox}")
        if reply.split(b" ")[1] != b"OK":
            return None, {}
        validity = next(int(found[1]) for line, _ in untagged if (found := re.search(rb"UIDVALIDITY (\d+)", line)))
        messages = {}
        for line, literals in self.need("UID FETCH 1:* (UID BODY.PEEK[])"):
            found = re.match(rb"\* \d+ FETCH .*\bUID (\d+)", line)
            if found:
                messages[int(found[1])] = literals[0] if literals else None
        return validity, messages

    def close(self):
        self.connection.close()


def fetch_by_pop3(served, user):
    """All messages of an INBOX."""
    connection = served.connect("pop3")
    lines = connection.makefile("rb", 1 << 16)

    def say(command):
        connection.sendall(command.encode() + b"\r\n")
        reply = lines.readline()
        if not reply.startswith(b"+OK"):
            raise Broken(f"POP3 {command}: {reply.decode(errors='replace').strip()}")
        return reply

    lines.readline()
    say(f"USER {user}")
    say(f"PASS {PASSWORD}")
    messages = []
    for number in range(1, int(say("STAT").split()[1]) + 1):
        say(f"RETR {number}")
        message = []
        while (line := lines.readline()) != b".\r\n":
            if not line:
                raise Broken("POP3 RETR: closed")
            message.append(line[1:] if line.startswith(b".") else line)
        messages.append(b"".join(message))
    connection.close()
    return messages


#: Sizes that lie in rows, and sizes that lie in segments.
SIZES = [1_000, 3_000, 9_000, 15_000, 17_000, 40_000, 120_000, 300_000]
WEIGHTS = [20, 15, 10, 5, 5, 5, 3, 1]
#: Messages of a client of IMAP before it expunges most of them.
BATCH = 16


class Load:
    """Clients that write to one world until it is gone or they are stopped."""

    def __init__(self, served, ledger, seed, smtp=3, imap=2, may_refuse=False):
        self.served, self.ledger, self.stopped = served, ledger, threading.Event()
        self.appended, self.may_refuse = 0, may_refuse
        work = [(self.send, number) for number in range(smtp)] + [(self.append, number) for number in range(imap)]
        self.errors = []
        self.threads = [
            threading.Thread(target=self.run, args=(job, number, random.Random(f"{seed}:{job.__name__}:{number}")))
            for job, number in work
        ]
        for thread in self.threads:
            thread.start()

    def run(self, job, number, dice):
        while not self.stopped.is_set() and self.served.process.poll() is None:
            try:
                job(number, dice)
            except OSError:
                # The server was killed, or has enough of a client that it had to refuse too often.
                time.sleep(0.05)
            except Broken as broken:
                # With nothing refused there is no reason.
                if not self.may_refuse:
                    self.errors.append(str(broken))
                    return

    def send(self, _, dice):
        smtp = Smtp(self.served)
        while not self.stopped.is_set():
            size = dice.choices(SIZES, WEIGHTS)[0]
            smtp.send(self.ledger, dice, dice.choice(RECIPIENTS), int(size * dice.uniform(0.5, 1)))
        smtp.close()

    def append(self, number, dice):
        imap, mailbox = Imap(self.served), f"Power{number}"
        imap.say(f"CREATE {mailbox}")
        selected = b"".join(line for line, _ in imap.need(f"SELECT {mailbox}"))
        validity = int(re.search(rb"UIDVALIDITY (\d+)", selected)[1])
        # What earlier lives left.
        found = b"".join(line for line, _ in imap.need("UID SEARCH ALL"))
        held = [(validity, int(uid)) for uid in re.findall(rb"\d+", found)]
        while not self.stopped.is_set():
            size = dice.choice([2_000, 20_000, 200_000, 280_000, 300_000])
            given, _ = imap.append(self.ledger, dice, mailbox, size)
            if given:
                held.append(given)
                self.appended += size
            if BATCH <= len(held):
                dice.shuffle(held)
                gone, held = held[2:], held[:2]
                imap.expunge(self.ledger, mailbox, gone[0][0], sorted(uid for _, uid in gone))
        imap.close()

    def join(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class Promises:
    """What a server owes after a moment: everything, or what it had acknowledged in a record by then."""

    def __init__(self, ledger, acknowledged=None):
        """`acknowledged`: the ids of messages and the tags of commands; `None` for all."""
        known = (lambda name: True) if acknowledged is None else acknowledged.__contains__
        is_done = ledger.done.__contains__ if acknowledged is None else known
        with ledger.lock:
            self.messages = [message for id, message in ledger.messages.items() if known(id)]
            appends = [append for tag, append in ledger.appends.items() if known(tag)]
            expunges = list(ledger.expunges)
        #: (mailbox, uid validity) -> uid -> checksum
        self.there, self.gone, self.highest = {}, {}, {}
        for mailbox, validity, uid, total in appends:
            box = mailbox, validity
            self.there.setdefault(box, {})[uid] = total
            self.highest[box] = max(self.highest.get(box, 0), uid)
        for tag, before, mailbox, validity, uids in expunges:
            box = mailbox, validity
            for uid in uids:
                if is_done(tag):
                    self.gone.setdefault(box, set()).add(uid)
                if known(before):
                    self.there.get(box, {}).pop(uid, None)

    def count(self):
        return len(self.messages) + sum(map(len, self.there.values()))

    def check(self, served, by_pop3=False):
        """Compares with what a server has. Returns what is wrong, each in a line."""
        served.settle()
        wrong = []
        found = {}
        for recipient in RECIPIENTS:
            found[recipient] = self.inbox(served, recipient, by_pop3 and recipient != ME, wrong)
        for recipient, key, total in self.messages:
            if key not in found[recipient]:
                wrong.append(f"LOST: message {key} to {recipient}")
            elif found[recipient][key] != total:
                wrong.append(f"WRONG BYTES: message {key} to {recipient}")
        imap = Imap(served)
        for mailbox in sorted({mailbox for mailbox, _ in [*self.there, *self.gone, *self.highest]}):
            self.check_mailbox(imap, mailbox, wrong)
        imap.close()
        return wrong

    @staticmethod
    def inbox(served, user, by_pop3, wrong):
        """Checksums of the messages of an INBOX, by their keys."""
        if by_pop3:
            messages = dict(enumerate(fetch_by_pop3(served, user)))
        else:
            try:
                imap = Imap(served, user)
            except Broken:
                return {}  # Elsewhere a mailbox is there from the first message on.
            _, messages = imap.fetch_all("INBOX")
            imap.close()
        found = {}
        for uid, message in messages.items():
            header, _, body = (message or b"").partition(b"\r\n\r\n")
            told = re.search(rb"^X-Power: (\S+) (\S+)\r?$", header, re.MULTILINE)
            if not told:
                wrong.append(f"DAMAGED: message {uid} of {user} has no header: {header[:80]!r}")
                continue
            found[told[1].decode()] = checksum(body)
            # Those that nobody was told of must be whole, too.
            if checksum(body) != told[2].decode():
                wrong.append(f"DAMAGED: message {uid} of {user}, {told[1].decode()}")
        return found

    def check_mailbox(self, imap, mailbox, wrong):
        validity, messages = imap.fetch_all(mailbox)
        box = mailbox, validity
        for other in {*self.there, *self.gone, *self.highest}:
            if other[0] == mailbox and other != box:
                wrong.append(f"LOST: mailbox {mailbox} with UIDVALIDITY {other[1]}; there is {validity}")
        for uid, total in self.there.get(box, {}).items():
            if uid not in messages:
                wrong.append(f"LOST: {mailbox} UID {uid}")
            elif messages[uid] is None or checksum(messages[uid]) != total:
                wrong.append(f"WRONG BYTES: {mailbox} UID {uid}")
        for uid in self.gone.get(box, set()) & set(messages):
            wrong.append(f"CAME BACK: {mailbox} UID {uid}, which was expunged")
        for uid, message in messages.items():
            header, _, body = (message or b"").partition(b"\r\n\r\n")
            told = re.search(rb"^X-Power: (\S+) (\S+)\r?$", header, re.MULTILINE)
            if not told or told[2].decode() != checksum(body):
                wrong.append(f"DAMAGED: {mailbox} UID {uid}")
        given, reply = imap.append(Ledger(), random.Random(0), mailbox, 500) if validity else (None, b"no mailbox")
        if validity and not given:
            wrong.append(f"REFUSED: a new message in {mailbox}: {reply.decode(errors='replace').strip()}")
        if given and given[1] <= self.highest.get(box, 0):
            wrong.append(f"UID AGAIN: {mailbox} gave {given[1]}, and {self.highest[box]} was given before")
