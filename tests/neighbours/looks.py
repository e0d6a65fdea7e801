#!/usr/bin/env python3
"""What a look at a mailbox costs: the commands that mail clients send all day, one after the other on one connection.

    looks.py fill HOST:PORT COUNT      a mailbox `big` with so many messages, and 200 others
    looks.py measure HOST:PORT         medians in ms, as JSON
    looks.py compare THEIRS OURS       a table of two results
    looks.py growth SMALL MEDIUM LARGE a table of three results of growing mailboxes
"""
import json
import socket
import statistics
import sys
import time

USER, PASSWORD = "friend@sina.test", "postroad"
OTHERS, BATCH = 200, 500
# Commands are repeated for so long, in seconds, but at least and at most so often.
TIME, LEAST, MOST = 1.0, 5, 2_000
# May cost no more than so many times what Dovecot's do, which are not synced; all others no more than its own.
STORES = {"STORE one flag": 1.5, "STORE 10,000 +FLAGS.SILENT": 1.5}
# May not grow twofold with the mailbox.
CONSTANT = ["STATUS", "SELECT, UNSELECT", "SELECT with QRESYNC, nothing new", "FETCH CHANGEDSINCE now", "STORE one flag"]


class Client:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0
        self.read_until(b"* OK")
        self.run(f"LOGIN {USER} {PASSWORD}")

    def read_until(self, start):
        """Everything up to the line that begins so, which is the last thing the server says."""
        kept = bytearray()
        while True:
            if kept.endswith(b"\r\n") and kept.startswith(start, kept.rfind(b"\n", 0, len(kept) - 1) + 1):
                return bytes(kept)
            more = self.socket.recv(1 << 20)
            if not more:
                raise SystemExit("the server closed the connection")
            kept += more

    def run(self, command, literals=b""):
        self.number += 1
        tag = f"t{self.number}".encode()
        self.socket.sendall(tag + b" " + command.encode() + literals + b"\r\n")
        reply = self.read_until(tag + b" ")
        if tag + b" OK" not in reply:
            raise SystemExit(f"{command[:100]}: {reply[-200:]!r}")
        return reply


def message(number):
    return (
        f"Received: from mx.a.test by mda.b.test; Thu, 1 Jan 2026 00:00:{number % 60:02} +0000\r\n"
        f"From: Person {number % 500} <person{number % 500}@a.test>\r\nTo: Friend <{USER}>\r\n"
        f"Subject: Number {number} of the list\r\nDate: Thu, 1 Jan 2026 {number % 24:02}:{number % 60:02}:00 +0000\r\n"
        f"Message-ID: <{number}@a.test>\r\nReferences: <{number // 7}@a.test>\r\nX-Run: run-{number % 100}\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + f"Text of number {number}.\r\n" * 20
    ).encode()


def append(client, mailbox, numbers):
    literals = b"".join(b" {%d+}\r\n%s" % (len(text), text) for text in map(message, numbers))
    client.run(f"APPEND {mailbox}", literals)


def fill(address, count):
    client = Client(address)
    client.run("CREATE big")
    for first in range(0, count, BATCH):
        append(client, "big", range(first, min(count, first + BATCH)))
    for other in range(OTHERS):
        client.run(f"CREATE other{other:03}")
        append(client, f"other{other:03}", range(10))


def median(run):
    times, end = [], time.monotonic() + TIME
    while len(times) < LEAST or (len(times) < MOST and time.monotonic() < end):
        start = time.perf_counter()
        run(len(times))
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def value(reply, name):
    return int(reply.split(name)[1].split(b"]")[0].split(b")")[0].split()[0])


def measure(address):
    client, results = Client(address), {}

    def case(name, run):
        run(-1)
        results[name] = median(run)
        print(f"{name:<50} {results[name]:10.3f} ms", file=sys.stderr)

    def select(_):
        client.run("SELECT big")
        client.run("UNSELECT")

    case("STATUS", lambda _: client.run("STATUS big (MESSAGES UNSEEN UIDNEXT)"))
    case("LIST of 200 with STATUS", lambda _: client.run('LIST "" * RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))'))
    case("SELECT, UNSELECT", select)
    client.run("ENABLE QRESYNC")
    reply = client.run("SELECT big")
    known = f"{value(reply, b'[UIDVALIDITY ')} {value(reply, b'[HIGHESTMODSEQ ')}"
    client.run("UNSELECT")

    def resync(_):
        client.run(f"SELECT big (QRESYNC ({known}))")
        client.run("UNSELECT")

    case("SELECT with QRESYNC, nothing new", resync)
    count = int(reply.split(b" EXISTS")[0].rsplit(b" ", 1)[1])
    modseq = value(client.run("SELECT big"), b"[HIGHESTMODSEQ ")
    changed = f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})"
    case("FETCH CHANGEDSINCE now", lambda _: client.run(changed))
    fields = "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)])"
    case("FETCH HEADER.FIELDS of all", lambda _: client.run(fields))
    case("FETCH HEADER.FIELDS of 50", lambda _: client.run(fields.replace("1:*", "1:50")))
    case("SEARCH HEADER X-Run", lambda _: client.run("UID SEARCH HEADER X-Run run-7"))
    case("SEARCH HEADER Message-ID", lambda _: client.run(f"UID SEARCH HEADER Message-ID <{count // 2}@a.test>"))
    case("SEARCH TEXT", lambda _: client.run(f'UID SEARCH TEXT "number {count // 2}."'))
    sign = lambda number: "+-"[number % 2]
    case("STORE one flag", lambda number: client.run(f"STORE 7 {sign(number)}FLAGS (\\Flagged)"))
    many = min(count, 10_000)
    name = f"STORE {many:,} +FLAGS.SILENT"
    case(name, lambda number: client.run(f"STORE 1:{many} {sign(number)}FLAGS.SILENT (\\Answered)"))
    return results


def load(path):
    with open(path) as file:
        return json.load(file)


def compare(theirs, ours):
    print("| command | Dovecot, ms | Postroad, ms | |\n|---|---:|---:|---|")
    for name, our in ours.items():
        if (their := theirs.get(name)) is not None:
            is_behind = our > their * STORES.get(name, 1.0)
            print(f"| {name} | {their:.2f} | {our:.2f} | {'behind' if is_behind else ''} |")


def growth(results):
    print("| command | small, ms | medium, ms | large, ms | growth |\n|---|---:|---:|---:|---:|")
    for name, small in results[0].items():
        if all(name in result for result in results):
            values = [result[name] for result in results]
            grows = " (too much)" if name in CONSTANT and 2 <= values[-1] / small else ""
            print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} | {values[-1] / small:.1f}x{grows} |")


match sys.argv[1:]:
    case ["fill", address, count]:
        fill(address, int(count))
    case ["measure", address]:
        print(json.dumps(measure(address)))
    case ["compare", theirs, ours]:
        compare(load(theirs), load(ours))
    case ["growth", *paths]:
        growth([load(path) for path in paths])
    case _:
        raise SystemExit(__doc__)
