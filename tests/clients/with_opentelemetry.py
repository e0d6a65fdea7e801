"""Traces of journeys, read with OpenTelemetry's own classes of the protocol; their collector is down at first. Argument: the program."""

import atexit
import base64
import collections
import http.server
import json
import pathlib
import re
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

MESSAGES = 5
scratch = tempfile.TemporaryDirectory(prefix="traces-")
folder = pathlib.Path(scratch.name)
taken, errors = [], []


def parse(body):
    """OTLP differs from JSON of protobuf in one thing: ids are hexadecimal."""
    request = json.loads(body)
    for span in (span for one in request["resourceSpans"] for scope in one["scopeSpans"] for span in scope["spans"]):
        for name, length in (("traceId", 32), ("spanId", 16), ("parentSpanId", 16)):
            if name in span:
                assert re.fullmatch(f"[0-9a-f]{{{length}}}", span[name]), span
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    # Fields that the protocol does not have are errors.
    return json_format.ParseDict(request, ExportTraceServiceRequest())


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
            taken.append(parse(body))
        except Exception as error:
            errors.append(repr(error))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True


first = Server(("127.0.0.1", 0), Collector)
port = first.server_port
first.server_close()
ports = folder / "ports.json"
arguments = [sys.argv[1], "serve", "--ephemeral", "--otlp", f"http://127.0.0.1:{port}", "--ports-file", ports]
world = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
atexit.register(world.kill)
while not ports.exists():
    time.sleep(0.05)
at = {name: address.rsplit(":", 1)[1] for name, address in json.loads(ports.read_text()).items()}


def get(path):
    with urllib.request.urlopen(f"http://127.0.0.1:{at['http']}{path}", timeout=40) as answer:
        return json.load(answer)


ids = []
with smtplib.SMTP("127.0.0.1", int(at["smtp"])) as client:
    client.helo("app.test")
    for to in ["friend@sina.test"] * MESSAGES + ["nobody@sina.test"]:
        client.mail("me@163.test")
        client.rcpt(to)
        ids.append(client.data(b"Subject: traced\r\n\r\nx\r\n")[1].split(b"queued as ")[1].split(b"-")[0].decode())
journeys = {journey: get(f"/api/v1/journeys/{journey}?wait=30s") for journey in ids}
time.sleep(2)
threading.Thread(target=Server(("127.0.0.1", port), Collector).serve_forever, daemon=True).start()


def attribute(span, name):
    return next((one.value.string_value for one in span.attributes if one.key == name), None)


def all_spans():
    return [span for request in list(taken) for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]


deadline = time.time() + 60
while sum(1 for span in all_spans() if span.name == "message" and attribute(span, "postroad.journey") in ids) < len(ids):
    assert time.time() < deadline and not errors, errors
    time.sleep(0.2)
assert not errors, errors
spans = all_spans()
traces = collections.defaultdict(list)
for span in spans:
    traces[span.trace_id].append(span)
assert len({span.span_id for span in spans}) == len(spans)
for journey in ids:
    root = next(span for span in spans if span.name == "message" and attribute(span, "postroad.journey") == journey)
    trace = traces[root.trace_id]
    hops = [span for span in trace if span.parent_span_id == root.span_id]
    phases = [span for span in trace if span.parent_span_id in {hop.span_id for hop in hops}]
    events = get(f"/api/v1/journeys/{journey}")["events"]
    assert sorted(hop.name for hop in hops) == sorted(event["step"] for event in events), (journey, hops, events)
    assert len(trace) == 1 + len(hops) + len(phases) and not root.parent_span_id
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in trace)
    is_lost = any(event["step"] == "failed" for event in events)
    assert (root.status.code == Status.STATUS_CODE_ERROR) == is_lost == (journey == ids[-1])
    assert all(hop.kind == Span.SPAN_KIND_CLIENT for hop in hops if hop.name == "relayed")
    assert {"connect", "greeting", "tls", "reply"} <= {span.name for span in phases} or journey != ids[0]
