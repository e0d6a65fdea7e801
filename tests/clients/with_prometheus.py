"""/metrics as Prometheus' own parsers read it, after a known run. Arguments: ports of HTTP and SMTP, of a world that is new."""

import json
import re
import smtplib
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

http, smtp = map(int, sys.argv[1:])
MESSAGES, BOUNCES = 7, 3


def get(path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{http}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=40) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def send(client, to, subject):
    client.mail("me@163.test")
    client.rcpt(to)
    code, reply = client.data(f"Subject: {subject}\r\n\r\nx\r\n")
    assert code == 250, reply
    return reply.split(b"queued as ")[1].split(b"-")[0].decode()


with smtplib.SMTP("127.0.0.1", smtp) as client:
    client.helo("app.test")
    ids = [send(client, "friend@sina.test", f"number {number}") for number in range(MESSAGES)]
    ids += [send(client, "nobody@sina.test", f"lost {number}") for number in range(BOUNCES)]
    assert client.mail("me@163.test")[0] == 250
    assert client.rcpt("nobody@163.test")[0] == 550
for journey in ids:
    get(f"/api/v1/journeys/{journey}?wait=30s")
get("/api/v1/messages?mailbox=me@163.test&wait=30s")
# The reports have arrived, too.
for report in json.loads(get("/api/v1/journeys?to=me@163.test")[1])["journeys"]:
    get(f"/api/v1/journeys/{report['id']}?wait=30s")
get("/api/v1/sessions?open=false&wait=30s")

kind, text = get("/metrics", Accept="application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")
assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind
openmetrics = {family.name: family for family in parse_openmetrics(text)}
kind, older = get("/metrics")
assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
families = {family.name: family for family in parse_text(older)}

# The rules of `promtool check metrics` and of OpenMetrics.
OTHER_UNITS = re.compile(r"(milli|micro|nano|kilo|mega|giga)|minutes|hours|days|(^|_)(ms|us|ns|kb|mb|kib|mib)(_|$)|percent")
for name, family in openmetrics.items():
    assert family.documentation and family.type != "unknown", f"{name} has no HELP or no TYPE"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"{name}: lower case, and no colons"
    assert not re.search(r"(^|_)(gauge|counter|histogram|summary|untyped)(_|$)", name), f"{name} has its type in its name"
    assert not OTHER_UNITS.search(name), f"{name}: base units only"
    assert name.startswith(("postroad_", "process_")), name
    if family.type != "counter":
        assert not name.endswith("_total"), f"{name} is no counter"
    if family.type != "histogram":
        assert not name.endswith(("_count", "_sum", "_bucket")), f"{name} is no histogram"
    if family.unit:
        assert name.endswith(f"_{family.unit}"), f"{name}: the unit comes last"
    if name.endswith(("_seconds", "_bytes")):
        assert family.unit == name.rsplit("_", 1)[1], f"{name} has no unit"
    for sample in family.samples:
        assert not set(sample.labels) & {"le", "quantile"} or family.type == "histogram", sample
        assert family.type != "counter" or sample.name == f"{name}_total", sample
assert all(family.documentation and family.type != "untyped" for family in families.values()), families


def values(families):
    return {(one.name, *sorted(one.labels.items())): one.value for family in families.values() for one in family.samples}


# Both have the same numbers, but what passes meanwhile.
newer, older = values(openmetrics), values(families)
passing = {("process_resident_memory_bytes",), ("postroad_store_commits_total",), ("postroad_store_jobs_total",), ("postroad_events_unsaved",)}
differing = {key for key in newer.keys() | older.keys() if newer.get(key) != older.get(key)}
assert differing <= passing, differing - passing


def value(name, **labels):
    return newer[name, *sorted(labels.items())]


def total(name, **labels):
    return sum(v for key, v in newer.items() if key[0] == name and set(labels.items()) <= set(key[1:]))


assert value("postroad_messages_received_total", host="mta-163", protocol="smtp") == MESSAGES + 2 * BOUNCES
assert value("postroad_recipients_total", outcome="delivered") == MESSAGES + BOUNCES
assert value("postroad_recipients_total", outcome="failed") == BOUNCES
assert total("postroad_bounces_total") == BOUNCES
assert value("postroad_journey_duration_seconds_count") == MESSAGES + BOUNCES
assert value("postroad_journey_duration_seconds_bucket", le="+Inf") == MESSAGES + BOUNCES
assert 0 < value("postroad_journey_duration_seconds_sum") < 40 * (MESSAGES + BOUNCES)
assert total("postroad_queue_messages") == 0
assert total("postroad_host_up") == len([key for key in newer if key[0] == "postroad_host_up"]) == 9
for outcome in ("accepted", "refused", "all"):
    assert value("postroad_sessions_total", protocol="smtp", outcome=outcome) == 1
assert value("postroad_sessions_open") == value("postroad_faults") == value("postroad_events_missed_total") == 0
