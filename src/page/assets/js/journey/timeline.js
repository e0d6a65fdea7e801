// The timeline of a journey: its events as rows of conversations, waits, reports and retrievals, in the order of who passed it to whom.
//
// A message is at a host under a queue id. What came there is an arrival (`received`), and what that host did with it has the same
// id. A conversation is one row of two events: `relayed` of the host that sent, and the arrival at the one that received.

import { brief } from "../fate.js";
import { duration, ordinal, plural, timeOf } from "../format.js";
import { phasesOf, sums } from "./phases.js";
/** @import { Host, Journey, Phase, PostEvent, Row, Timeline } from "../types" */

const ATTEMPTS = ["tried", "relayed", "deferred", "failed"];
const ARRIVALS = ["received", "found", "reported"];

/** @param {PostEvent} event */
const at = (event) => Date.parse(event.at);
/** @param {PostEvent} event */
const began = (event) => at(event) - (event.took_ms ?? 0);
/** @param {PostEvent} event */
const recipientsOf = (event) => event.recipients ?? (event.recipient ? [event.recipient] : []);

/** @param {Journey} journey @param {Host[]} hosts @param {number} now @returns {Timeline} */
export function timelineOf(journey, hosts, now) {
  const teller = new Teller(journey.events, hosts, now);
  const rows = teller.tell();
  const starts = rows.map((row) => row.start), ends = rows.map((row) => row.end);
  const start = rows.length ? Math.min(...starts) : Date.parse(journey.began);
  const end = rows.length ? Math.max(...ends) : start;
  const busy = union(rows.filter((row) => row.kind === "hop").map((row) => [row.start, row.end]));
  const settledEnd = Math.max(start, ...rows.filter((row) => row.kind !== "fetch").map((row) => row.end));
  return {
    rows, start, end, isSettled: journey.settled,
    waited: Math.max(0, settledEnd - start - busy.reduce((all, [from, to]) => all + to - from, 0)),
    sums: sums(rows),
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
        phases: [{ name: "whole", start: began(arrival), end: at(arrival) }], reply: "250 queued", event: arrival, arrival,
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
    /** @type {PostEvent[]} */
    const notes = [];
    for (const event of own) {
      if (!ATTEMPTS.includes(event.step)) {
        if (event.step === "expanded") this.other(event, depth);
        else if (event.step !== "delivered") notes.push(event);
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
    for (const [number, { attempts }] of groups.entries()) this.attempts(attempts, depth, number > 0, at(arrival), number ? [] : notes);
    notes.forEach((event) => this.other(event, depth));
    for (const next of early) if (!this.told.has(next)) this.hop(null, next, depth, 1, groups.length > 0, at(arrival));
    this.delivered(arrival);
  }

  /** Whether both tell of one conversation. @param {PostEvent} relayed @param {PostEvent} arrival */
  isPair(relayed, arrival) {
    if (relayed.step !== "relayed" || arrival.step !== "received" || arrival.host !== this.name(relayed.to) || this.name(arrival.from) !== relayed.host) return false;
    if (arrival.id && relayed.reply?.includes(arrival.id)) return true;
    return !/queued as/i.test(relayed.reply ?? "") && recipientsOf(arrival).some((recipient) => recipientsOf(relayed).includes(recipient)) && began(relayed) - 5 <= at(arrival) && at(arrival) <= at(relayed) + 5;
  }

  /** The attempts of some recipients, with the hosts tried in each, and the waits between them. @param {PostEvent[]} events @param {number} depth @param {boolean} fork @param {number} came when the message was there @param {PostEvent[]} notes what else happened there; those between attempts are taken out */
  attempts(events, depth, fork, came, notes) {
    /** @type {{ tried: PostEvent[], event: PostEvent | null }[]} */
    const attempts = [{ tried: [], event: null }];
    for (const event of events) {
      this.told.add(event);
      const last = attempts[attempts.length - 1];
      if (event.step === "tried") last.tried.push(event);
      else {
        last.event = event;
        attempts.push({ tried: [], event: null });
      }
    }
    const ends = attempts.map(({ event }) => event);
    for (const [number, { tried, event }] of attempts.entries()) {
      const before = ends[number - 1] ?? null, first = tried[0] ?? event;
      while (first && notes.length && at(notes[0]) <= at(first)) this.other(/** @type {PostEvent} */ (notes.shift()), depth);
      // Those between the first and the last are rings in the row of the wait.
      if (event?.step === "deferred" && before?.step === "deferred") continue;
      const since = before ? at(before) : came;
      for (const [at, one] of tried.entries()) this.tried(one, depth, at ? 0 : number + 1, fork, since);
      if (!event) continue;
      if (event.step === "relayed") {
        const arrival = this.arrivals.find((one) => !this.told.has(one) && this.isPair(event, one)) ?? null;
        this.hop(event, arrival, depth, number + 1, fork, since, tried);
      } else if (event.step === "failed") {
        this.failed(event, depth, number + 1, fork, since);
      } else {
        // What was tried in vain says why already.
        if (!tried.length || event.attempt?.address) this.deferred(event, depth, number + 1, fork, since);
        const rest = ends.slice(number + 1).filter((one) => one !== null);
        const stop = rest.findIndex((one) => one.step !== "deferred");
        const tries = stop < 0 ? rest : rest.slice(0, stop);
        const next = stop < 0 ? null : attempts[number + 1 + stop];
        this.wait(event, tries, next ? next.tried[0] ?? next.event : null, depth);
      }
    }
  }

  /** A host that could not be used. @param {PostEvent} event @param {number} depth @param {number} number @param {boolean} fork @param {number} came */
  tried(event, depth, number, fork, came) {
    const { attempt } = event, to = this.name(event.to), end = at(event);
    const phases = attempt ? phasesOf(attempt, came) : [];
    const start = phases[0]?.start ?? Math.max(came, began(event));
    const mx = attempt?.preference === undefined ? "" : `MX ${attempt.preference}`;
    this.add({
      kind: "hop", depth, sign: "✕", tone: "wait", from: event.host, to, host: to, what: [number ? `${ordinal(number)} try` : "then", mx].filter(Boolean).join(", "), start, end,
      took: event.took_ms ?? null, phases: [...phases, { name: "failed", start: end, end }], reply: brief(event.reason ?? ""), event, forks: fork,
    });
  }

  /** @param {PostEvent | null} relayed @param {PostEvent | null} arrival @param {number} depth @param {number} number @param {boolean} fork @param {number} came @param {PostEvent[]} [tried] */
  hop(relayed, arrival, depth, number, fork, came, tried = []) {
    if (arrival) this.told.add(arrival);
    const event = /** @type {PostEvent} */ (relayed ?? arrival);
    const from = relayed?.host ?? this.name(arrival?.from), to = arrival?.host ?? this.name(relayed?.to);
    // The connection may be older than the message that went over it.
    const end = at(event), busy = Math.min(end, Math.max(began(event), came)), took = event.took_ms ?? arrival?.took_ms ?? null;
    const cut = arrival && relayed ? Math.max(busy, Math.min(end, end - (arrival.took_ms ?? 0))) : busy;
    const known = relayed?.attempt ? phasesOf(relayed.attempt, came) : [];
    /** @type {Phase[]} */
    const guessed = [...(cut > busy ? [{ name: /** @type {const} */ ("other"), start: busy, end: cut }] : []), { name: "whole", start: cut, end }];
    const phases = known.length ? known : guessed, start = Math.min(busy, ...phases.map((phase) => phase.start));
    const protocol = (event.protocol ?? "").toUpperCase();
    this.add({
      kind: "hop", depth, from, to, host: to, what: [protocol, tried.length ? "then" : number > 1 ? `${ordinal(number)} try` : "", tried.length && relayed?.attempt?.preference !== undefined ? `MX ${relayed.attempt.preference}` : ""].filter(Boolean).join(", "), start, end,
      took: took === null ? null : Math.min(took, end - start), reply: this.reply(relayed, arrival), event, arrival, forks: fork, phases, tried,
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

  /** @param {PostEvent} event @param {number} depth @param {number} number @param {boolean} fork @param {number} came */
  deferred(event, depth, number, fork, came) {
    const phases = event.attempt ? phasesOf(event.attempt, came) : [], start = phases[0]?.start ?? at(event);
    const to = event.to ? this.name(event.to) : undefined;
    this.add({
      kind: "hop", depth, sign: "◷", tone: "wait", from: event.host, to, host: to ?? event.host, what: `${ordinal(number)} try`, start, end: at(event),
      phases: [...phases, { name: "failed", start: at(event), end: at(event) }], reply: brief(event.reason ?? ""), event, forks: fork,
    });
  }

  /** @param {PostEvent} first @param {PostEvent[]} tries @param {PostEvent | null} next @param {number} depth */
  wait(first, tries, next, depth) {
    const last = tries.at(-1) ?? first;
    const until = Date.parse(last.until ?? last.at);
    const isOpen = !next && this.isWaiting(last);
    const end = next ? (next.attempt ? Date.parse(next.attempt.began) : next.step === "relayed" ? began(next) : at(next)) : isOpen ? Math.max(this.now, at(last)) : at(last);
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

  /** @param {PostEvent} event @param {number} depth @param {number} number @param {boolean} fork @param {number} came */
  failed(event, depth, number, fork, came) {
    const phases = event.attempt ? phasesOf(event.attempt, came) : [], start = phases[0]?.start ?? at(event);
    const to = event.by ? this.name(event.by) : undefined;
    const what = [recipientsOf(event).length === 1 ? recipientsOf(event)[0] : plural(recipientsOf(event).length, "recipient"), number > 1 ? `${ordinal(number)} try` : ""].filter(Boolean).join(", ");
    this.add({
      kind: "hop", depth, sign: "✕", tone: "bad", from: event.host, to, host: to ?? event.host, what, start, end: at(event),
      phases: [...phases, { name: "failed", start: at(event), end: at(event) }], reply: brief(event.reason ?? ""), event, forks: fork,
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
      flushed: ["→", "way", "is tried now", "as the operator asked"],
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
      phases: [{ name: "whole", start: at(event), end: at(event) }], reply: timeOf(event.at),
    });
  }
}
