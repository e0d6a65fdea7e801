"""A webhook's receiver that is down, and a world that is stopped and killed meanwhile, checked with the library of Standard Webhooks.
Argument: the program."""

import atexit
import collections
import http.server
import json
import pathlib
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
scratch = tempfile.TemporaryDirectory(prefix="webhooks-")
folder = pathlib.Path(scratch.name)
taken = []
errors = []


class Receiver(http.server.BaseHTTPRequestHandler):
    """Refuses every fourth request."""

    count = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.count += 1
        status = 503 if Receiver.count % 4 == 0 else 204
        try:
            payload = Webhook(SECRET).verify(body, dict(self.headers))
            if status == 204:
                taken.append((self.headers["webhook-id"], payload))
        except Exception as error:
            errors.append(repr(error))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


def receive():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def serve():
    ports = folder / "ports.json"
    ports.unlink(missing_ok=True)
    arguments = [sys.argv[1], "serve", folder / "world.toml", "--free-ports", "--data", folder / "data", "--ports-file", ports]
    world = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(world.kill)
    for _ in range(400):
        if ports.exists():
            return world, json.loads(ports.read_text())
        time.sleep(0.05)
    raise SystemExit("the world does not start")


def send(ports, *subjects):
    ids = []
    host, port = ports["smtp"].split(":")
    with smtplib.SMTP(host, int(port)) as client:
        client.helo("app.test")
        for subject in subjects:
            client.mail("me@163.test")
            client.rcpt("friend@sina.test")
            code, reply = client.data(f"Subject: {subject}\r\n\r\nx\r\n")
            assert code == 250, reply
            ids.append(reply.split(b"queued as ")[1].split(b"-")[0].decode())
    return ids


def get(ports, path):
    with urllib.request.urlopen(f"http://{ports['http']}/api/v1/{path}", timeout=40) as answer:
        return json.load(answer)


def settle(ports, ids):
    for journey in ids:
        assert get(ports, f"journeys/{journey}?wait=30s")["settled"]


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
text = pathlib.Path("config/journey.toml").read_text()
(folder / "world.toml").write_text(f'{text}\n[[webhooks]]\nurl = "http://127.0.0.1:{port}/mail"\nsecret = "{SECRET}"\n')

def wait_for(what, is_so):
    for _ in range(800):
        if is_so():
            return
        time.sleep(0.05)
    raise SystemExit(f"{what}: not so after 40 s; {len(taken)} events were taken, {errors}")


# The receiver is down; the world is stopped in order.
world, ports = serve()
ids = send(ports, "first", "second")
settle(ports, ids)
world.terminate()
assert world.wait(20) == 0
# It is up, and goes away in the middle.
world, ports = serve()
receiver = receive()
ids += send(ports, "third", "fourth")
wait_for("the first events", lambda: 5 <= len(taken))
receiver.shutdown()
receiver.server_close()
ids += send(ports, "fifth")
settle(ports, ids)
# It is back, and the world is killed while it sends.
receiver = receive()
before = len(taken)
wait_for("more events", lambda: before + 3 <= len(taken))
ids += send(ports, "sixth")
world.kill()
world.wait()
at_kill = len(taken)
world, ports = serve()
ids += send(ports, "seventh")
settle(ports, ids)

events, since = [], 0
while page := get(ports, f"events?since={since}")["events"]:
    events += page
    since = page[-1]["seq"]
wait_for("the last event", lambda: any(payload["data"]["event"]["seq"] == since for _, payload in taken))
world.terminate()
assert world.wait(20) == 0

assert not errors, errors
by_id = {}
for at, (name, payload) in enumerate(taken):
    event = by_id.setdefault(name, (at, payload["data"]["event"]))[1]
    assert event == payload["data"]["event"], "an id is that of one event"
repeated = {name for name, count in collections.Counter(name for name, _ in taken).items() if 1 < count}
assert all(by_id[name][0] < at_kill for name in repeated), "only what was taken before the kill comes again"
numbers = [event["seq"] for _, event in by_id.values()]
assert numbers == sorted(numbers), numbers
# What happened in the last moment before the kill may be known to the receiver only.
assert {event["seq"] for event in events} <= set(numbers), "every event"
assert all(by_id[name][0] < at_kill for name in by_id if by_id[name][1] not in events)
for journey in ids:
    mine = [event["step"] for _, event in by_id.values() if event["journey"] == journey]
    # What was on its way at the kill is found by the next start, and may be relayed once more, as SMTP has it.
    was_on_its_way = "found" in mine
    assert mine[0] == ("found" if was_on_its_way else "received"), (journey, mine)
    assert mine.count("delivered") == 1 or was_on_its_way and "delivered" in mine, (journey, mine)
subjects = {payload["data"]["message"]["Subject"] for _, payload in taken if payload["type"] == "message.delivered"}
assert subjects == {"first", "second", "third", "fourth", "fifth", "sixth", "seventh"}, subjects
print(f"{len(events)} events in {len(taken)} requests, {len(repeated)} of them twice")
