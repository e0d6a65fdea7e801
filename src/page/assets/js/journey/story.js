// The story of a journey: its events as rows of conversations, waits, reports and retrievals, in the order of who passed it to whom.
//
// A message is at a host under a queue id. What came there is an arrival (`received`), and what that host did with it has the same
// id. A conversation is one row of two events: `relayed` of the host that sent, and the arrival at the one that received.

import { brief } from "../fate.js";
import { duration, ordinal, plural, timeOf } from "../format.js";
/** @import { Host, Journey, PostEvent, Row, Story } from "../types" */

const ATTEMPTS = ["relayed", "deferred", "failed"];
const ARRIVALS = ["received", "found", "reported"];

/** @param {PostEvent} event */
const at = (event) => Date.parse(event.at);
/** @param {PostEvent} event */
const began = (event) => at(event) - (event.took_ms ?? 0);
/** @param {PostEvent} event */
const recipientsOf = (event) => event.recipients ?? (event.recipient ? [event.recipient] : []);

/** @param {Journey} journey @param {Host[]} hosts @param {number} now @returns {Story} */
export function storyOf(journey, hosts, now) {
  const teller = new Teller(journey.events, hosts, now);
  const rows = teller.tell();
  const starts = rows.map((row) => row.start), ends = rows.map((row) => row.end);
  const start = rows.length ? Math.min(...starts) : Date.parse(journey.began);
  const end = rows.length ? Math.max(...ends) : start;
  const busy = union(rows.filter((row) => row.kind === "hop").map((row) => [row.start, row.end]));
  const settledEnd = Math.max(start, ...rows.filter((row) => row.kind !== "fetch").map((row) => row.end));
  const sum = (/** @type {string[]} */ names) => rows.flatMap((row) => row.phases).filter(({ name }) => names.includes(name)).reduce((all, one) => all + one.end - one.start, 0);
  return {
    rows, start, end, isSettled: journey.settled,
    waited: Math.max(0, settledEnd - start - busy.reduce((all, [from, to]) => all + to - from, 0)),
    connected: sum(["connect"]), transferred: sum(["content"]),
    hosts: [...new Set(rows.flatMap((row) => [row.from, row.to ?? row.from]))],
    about: journey.events.find((event) => event.step === "reported")?.about ?? null,
  };
}

/** Intervals that overlap nowhere. @param {number[][]} intervals @returns {[number, number][]} */
export function union(intervals) {
  /** @type {[number, number][]} */
  const joined = [];
  for (const [from, to] of [...intervals].sort(([one], [other]) => one - other)) {
    const last = joined.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

class Teller {
  /** @param {PostEvent[]} events @param {Host[]} hosts @param {number} now */
  constructor(events, hosts, now) {
    this.now = now;
    this.names = new Map(hosts.map((host) => [host.fqdn.toLowerCase(), host.name]));
    this.events = [...events].sort((one, other) => at(one) - at(other) || one.seq - other.seq);
    this.arrivals = this.events.filter((event) => ARRIVALS.includes(event.step));
    /** @type {Set<PostEvent>} */
    this.told = new Set();
    /** @type {Row[]} */
    this.rows = [];
  }

  /** The short name of a host. @param {string | null | undefined} fqdn */
  name(fqdn) {
    const bare = (fqdn ?? "").split(/[\s:]/)[0].replace(/\.$/, "");
    return this.names.get(bare.toLowerCase()) ?? bare;
  }

  tell() {
    for (const arrival of this.arrivals) {
      const isInner = arrival.step === "received" && this.arrivals.some((other) => other !== arrival && other.host === this.name(arrival.from) && began(other) <= at(arrival));
      if (!isInner && !this.told.has(arrival)) this.enter(arrival, 0);
    }
    // Arrivals whose sender is told without them, such as after a restart.
    for (const arrival of this.arrivals) if (!this.told.has(arrival)) this.enter(arrival, 1);
    for (const event of this.events) if (!this.told.has(event) && event.step !== "retrieved") this.other(event, 1);
    for (const event of this.events) if (event.step === "retrieved") this.fetched(event);
    return this.rows;
  }

  /** @param {Partial<Row> & Pick<Row, "kind" | "depth" | "from" | "start" | "end" | "host">} row */
  add(row) {
    this.rows.push({ sign: "✓", tone: "ok", what: "", isOpen: false, phases: [], tries: [], reply: "", took: null, event: null, arrival: null, ...row });
  }

  /** The message comes into the world, or was found there. @param {PostEvent} arrival @param {number} depth */
  enter(arrival, depth) {
    this.told.add(arrival);
    if (arrival.step === "received") {
      const known = this.name(arrival.from), isHost = [...this.names.values()].includes(known);
      const from = isHost ? known : arrival.user ?? "your program";
      const protocol = arrival.protocol === "submission" ? "submission" : (arrival.protocol ?? "").toUpperCase();
      this.add({
        kind: "hop", depth, from, to: arrival.host, what: protocol, host: arrival.host, start: began(arrival), end: at(arrival), took: arrival.took_ms ?? null,
        phases: [{ name: "content", start: began(arrival), end: at(arrival) }], reply: "250 queued", event: arrival, arrival,
      });
    } else {
      const words = arrival.step === "reported" ? "wrote this report" : "was found here after a restart";
      this.add({ kind: "note", depth, sign: "✉", tone: "way", from: arrival.host, what: words, host: arrival.host, start: at(arrival), end: at(arrival), event: arrival, arrival, reply: "", link: arrival.about });
    }
    this.follow(arrival, depth + 1);
  }

  /** What a host did with what arrived there. @param {PostEvent} arrival @param {number} depth */
  follow(arrival, depth) {
    const own = this.events.filter((event) => event.host === arrival.host && event.id === arrival.id && !this.told.has(event) && event.step !== "retrieved");
    /** @type {{ recipients: Set<string>, attempts: PostEvent[] }[]} */
    const groups = [];
    for (const event of own) {
      if (!ATTEMPTS.includes(event.step)) {
        if (event.step !== "delivered") this.other(event, depth);
        continue;
      }
      const recipients = recipientsOf(event);
      let group = groups.find((one) => recipients.some((recipient) => one.recipients.has(recipient)));
      if (!group) groups.push((group = { recipients: new Set(), attempts: [] }));
      recipients.forEach((recipient) => group.recipients.add(recipient));
      group.attempts.push(event);
    }
    // Arrivals at the next host, of which the sending host has not told yet.
    const early = this.arrivals.filter((next) => !this.told.has(next) && next.step === "received" && this.name(next.from) === arrival.host && !groups.some((group) => group.attempts.some((event) => this.isPair(event, next))));
    for (const [number, { attempts }] of groups.entries()) this.attempts(attempts, depth, number > 0, at(arrival));
    for (const next of early) if (!this.told.has(next)) this.hop(null, next, depth, 1, groups.length > 0, at(arrival));
    this.delivered(arrival);
  }

  /** Whether both tell of one conversation. @param {PostEvent} relayed @param {PostEvent} arrival */
  isPair(relayed, arrival) {
    if (relayed.step !== "relayed" || arrival.step !== "received" || arrival.host !== this.name(relayed.to) || this.name(arrival.from) !== relayed.host) return false;
    if (arrival.id && relayed.reply?.includes(arrival.id)) return true;
    return !/queued as/i.test(relayed.reply ?? "") && recipientsOf(arrival).some((recipient) => recipientsOf(relayed).includes(recipient)) && began(relayed) - 5 <= at(arrival) && at(arrival) <= at(relayed) + 5;
  }

  /** The attempts of some recipients at one host, and the waits between them. @param {PostEvent[]} attempts @param {number} depth @param {boolean} fork @param {number} came when the message was there */
  attempts(attempts, depth, fork, came) {
    for (const [number, event] of attempts.entries()) {
      this.told.add(event);
      // Those between the first and the last are rings in the row of the wait.
      const isBetween = number > 0 && event.step === "deferred" && attempts[number - 1].step === "deferred";
      if (isBetween) continue;
      if (event.step === "relayed") {
        const arrival = this.arrivals.find((one) => !this.told.has(one) && this.isPair(event, one)) ?? null;
        this.hop(event, arrival, depth, number + 1, fork, number ? at(attempts[number - 1]) : came);
      } else if (event.step === "failed") {
        this.failed(event, depth, number + 1, fork);
      } else {
        this.deferred(event, depth, number + 1, fork);
        const rest = attempts.slice(number + 1);
        const stop = rest.findIndex((one) => one.step !== "deferred");
        const tries = stop < 0 ? rest : rest.slice(0, stop);
        this.wait(event, tries, stop < 0 ? null : rest[stop], depth);
      }
    }
  }

  /** @param {PostEvent | null} relayed @param {PostEvent | null} arrival @param {number} depth @param {number} number @param {boolean} fork @param {number} came */
  hop(relayed, arrival, depth, number, fork, came) {
    if (arrival) this.told.add(arrival);
    const event = /** @type {PostEvent} */ (relayed ?? arrival);
    const from = relayed?.host ?? this.name(arrival?.from), to = arrival?.host ?? this.name(relayed?.to);
    // The connection may be older than the message that went over it.
    const end = at(event), start = Math.min(end, Math.max(began(event), came)), took = event.took_ms ?? arrival?.took_ms ?? null;
    const cut = arrival && relayed ? Math.max(start, Math.min(end, end - (arrival.took_ms ?? 0))) : start;
    const protocol = (event.protocol ?? "").toUpperCase();
    this.add({
      kind: "hop", depth, from, to, host: to, what: [protocol, number > 1 ? `${ordinal(number)} try` : ""].filter(Boolean).join(", "), start, end,
      took: took === null ? null : Math.min(took, end - start), reply: this.reply(relayed, arrival), event, arrival, forks: fork,
      phases: [...(cut > start ? [{ name: /** @type {const} */ ("connect"), start, end: cut }] : []), { name: "content", start: cut, end }],
    });
    if (arrival) this.follow(arrival, depth + 1);
  }

  /** @param {PostEvent | null} relayed @param {PostEvent | null} arrival */
  reply(relayed, arrival) {
    const stored = arrival ? this.events.filter((event) => event.step === "delivered" && event.host === arrival.host && event.id === arrival.id) : [];
    if (stored.length === 1) return `${(stored[0].recipient ?? "").split("@")[0]}: ${stored[0].mailbox}, uid ${stored[0].uid}`;
    if (stored.length > 1) return `${plural(stored.length, "copy", "copies")} stored`;
    const text = relayed?.reply ?? "";
    return /queued as/i.test(text) || !text ? `${text.slice(0, 3) || "250"} queued` : text;
  }

  /** Copies are told by the conversation that brought them. @param {PostEvent} arrival */
  delivered(arrival) {
    for (const event of this.events) {
      if (event.step === "delivered" && event.host === arrival.host && event.id === arrival.id) this.told.add(event);
    }
  }

  /** @param {PostEvent} event @param {number} depth @param {number} number @param {boolean} fork */
  deferred(event, depth, number, fork) {
    const to = event.to ? this.name(event.to) : undefined;
    this.add({
      kind: "hop", depth, sign: "◷", tone: "wait", from: event.host, to, host: to ?? event.host, what: `${ordinal(number)} try`, start: at(event), end: at(event),
      phases: [{ name: "failed", start: at(event), end: at(event) }], reply: brief(event.reason ?? ""), event, forks: fork,
    });
  }

  /** @param {PostEvent} first @param {PostEvent[]} tries @param {PostEvent | null} next @param {number} depth */
  wait(first, tries, next, depth) {
    const last = tries.at(-1) ?? first;
    const until = Date.parse(last.until ?? last.at);
    const isOpen = !next && this.isWaiting(last);
    const end = next ? (next.step === "relayed" ? began(next) : at(next)) : isOpen ? Math.max(this.now, at(last)) : at(last);
    const what = tries.length ? `${plural(tries.length, "more try", "more tries")}` : "";
    const times = tries.map((event) => timeOf(event.at));
    const shown = times.length > 3 ? [...times.slice(0, 2), `… ${times.at(-1)}`] : times;
    this.add({
      kind: "wait", depth, sign: "◷", tone: "wait", from: "waits", host: first.to ? this.name(first.to) : first.host, what, start: at(first), end, isOpen, tries: tries.map(at), event: last,
      reply: `${duration(end - at(first))}${shown.length ? `: ${shown.join(", ")}` : ""}`, until: isOpen ? until : undefined,
    });
  }

  /** Whether nothing ended the wait since. @param {PostEvent} last */
  isWaiting(last) {
    return !this.events.some((event) => event.host === last.host && event.id === last.id && event.seq > last.seq && ["deleted", "gone", "held"].includes(event.step));
  }

  /** @param {PostEvent} event @param {number} depth @param {number} number @param {boolean} fork */
  failed(event, depth, number, fork) {
    const to = event.by ? this.name(event.by) : undefined;
    const what = [recipientsOf(event).length === 1 ? recipientsOf(event)[0] : plural(recipientsOf(event).length, "recipient"), number > 1 ? `${ordinal(number)} try` : ""].filter(Boolean).join(", ");
    this.add({
      kind: "hop", depth, sign: "✕", tone: "bad", from: event.host, to, host: to ?? event.host, what, start: at(event), end: at(event),
      phases: [{ name: "failed", start: at(event), end: at(event) }], reply: brief(event.reason ?? ""), event, forks: fork,
    });
    if (event.report) {
      this.add({ kind: "report", depth: depth + 1, sign: "✉", tone: "way", from: "report to the sender", what: "", host: event.host, start: at(event), end: at(event), reply: `journey ${event.report}`, link: event.report, event });
    }
  }

  /** @param {PostEvent} event @param {number} depth */
  other(event, depth) {
    this.told.add(event);
    /** @type {Record<string, [string, Row["tone"], string, string]>} */
    const kinds = {
      expanded: ["↳", "way", event.recipient ?? "", (event.targets ?? []).join(", ") || "discarded"],
      held: ["◷", "wait", "is held", event.reason ?? "by the operator"],
      released: ["→", "way", "is released", "by the operator"],
      deleted: ["✕", "bad", "is deleted from the queue", recipientsOf(event).join(", ")],
      gone: ["✕", "bad", "is gone from the queue", "what became of it is not known"],
      delivered: ["✓", "ok", `${event.recipient ?? ""}`, `${event.mailbox ?? ""}, uid ${event.uid ?? ""}`],
      deferred: ["◷", "wait", "is tried again later", brief(event.reason ?? "")],
      failed: ["✕", "bad", "gave up", brief(event.reason ?? "")],
      relayed: ["✓", "ok", `passed on to ${this.name(event.to)}`, event.reply ?? ""],
    };
    const [sign, tone, what, reply] = kinds[event.step] ?? ["·", "way", event.step, ""];
    this.add({ kind: "note", depth, sign, tone, from: event.host, what, host: event.host, start: at(event), end: at(event), reply, event });
  }

  /** @param {PostEvent} event */
  fetched(event) {
    this.told.add(event);
    this.add({
      kind: "fetch", depth: 1, sign: "↓", tone: "ok", from: `fetched by ${event.account ?? "a client"}`, what: (event.protocol ?? "").toUpperCase(), host: event.host, start: at(event), end: at(event), event,
      phases: [{ name: "content", start: at(event), end: at(event) }], reply: timeOf(event.at),
    });
  }
}
