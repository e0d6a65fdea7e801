// The drawer: what was said in a step, what it changed in the letter, and how to say it again.

import { html, nothing } from "../../vendor/lit.js";
import { bytes, get, part } from "../api.js";
import { duration, whole, timeOf } from "../format.js";
import { received } from "../mail/headers.js";
import { parse } from "../mail/mime.js";
import { copy } from "../mail/empty.js";
import { dnsTab, lookupsOf, phaseList, triedList } from "./attempt.js";
import { icon } from "../icons.js";
import { View, state } from "../store.js";
/** @import { Journey, Row, Session, Transcript } from "../types" */
/** @import { Field } from "../mail/mime.js" */

/** Lines of one answer beyond which the rest folds. */
const SHORT_ANSWER = 4;

class Drawer extends View {
  static properties = { row: {}, journey: {}, close: {}, tab: { state: true } };
  /** @type {Row | null} */
  row = null;
  /** @type {Journey | null} */
  journey = null;
  /** @type {() => void} */
  close = () => {};
  tab = "dialogue";
  /** @type {Field[] | null} */
  #fields = null;
  #fieldsOf = "";
  /** What a client at the doors said, if the row is its conversation. @type {Transcript | null} */
  #said = null;
  #saidOf = "";

  willUpdate() {
    this.#wantSession();
    const key = `${this.journey?.id} ${this.journey?.events.length}`;
    if (this.tab === "changed" && this.#fieldsOf !== key) {
      this.#fieldsOf = key;
      void this.#readFields();
    }
  }

  /** A conversation with a program outside of the world is kept by the host that answered. */
  #wantSession() {
    const { row, journey } = this, event = row?.event;
    const isOutside = event && (event.step === "retrieved" || (event.step === "received" && !event.dialogue));
    const key = isOutside && journey ? `${journey.id} ${event.seq}` : "";
    if (key === this.#saidOf) return;
    this.#saidOf = key;
    this.#said = null;
    if (key && event && journey) void this.#readSession(key, { journey: journey.id, host: event.host, protocol: event.protocol, limit: 1 });
  }

  /** @param {string} key @param {Record<string, string | number | undefined>} query */
  async #readSession(key, query) {
    const list = /** @type {{ sessions: Session[] }} */ (await get("api/v1/sessions", query).catch(() => ({ sessions: [] })));
    if (!list.sessions[0]) return;
    const session = /** @type {Session} */ (await get(`api/v1/sessions/${list.sessions[0].id}`));
    if (key !== this.#saidOf || !session.dialogue) return;
    this.#said = { lines: session.dialogue.lines.map(([side, line]) => [side, line]), dropped: session.dialogue.dropped };
    this.requestUpdate();
  }

  /** The header as it is where the letter got to: in a mailbox, or in a queue. */
  async #readFields() {
    const journey = this.journey;
    if (!journey) return;
    this.#fields = null;
    try {
      const found = [];
      for (const { account, mailbox, uid } of journey.events.filter((event) => event.step === "delivered").slice(0, 5)) {
        const source = await bytes("api/v1/mailboxes/message", { account, mailbox, uid }).catch(() => null);
        if (source) found.push(...parse(source).fields);
      }
      if (!found.length) {
        const id = part(journey.id);
        const queued = /** @type {{ header: string } | null} */ (await get(`api/v1/queue/${id}`).catch(() => null));
        if (queued) found.push(...parse(new TextEncoder().encode(`${queued.header}\r\n\r\n`)).fields);
      }
      this.#fields = found;
    } finally {
      this.requestUpdate();
    }
  }

  render() {
    const { row } = this;
    if (!row) return nothing;
    const lookups = lookupsOf(row);
    const tabs = [["dialogue", "Dialogue"], ...(lookups.length ? [["dns", `DNS ${lookups.length}`]] : []), ["changed", "Changed here"], ["swaks", "As swaks"], ["curl", "As curl"]];
    return html`<aside class="drawer" aria-label="Step">
      <header><h2>${row.to ? `${row.from} → ${row.to}` : row.from}${row.what ? html`<span class="soft">, ${row.what}</span>` : nothing}</h2>
        <button class="icon-only" aria-label="Close the step" title="Close (Escape)" @click=${this.close}>✕</button></header>
      ${about(row)}${phaseList(row)}${triedList(row)}
      <div class="tabs" role="group" aria-label="About this step">${tabs.map(([name, title]) => html`<button aria-pressed=${this.tab === name} @click=${() => (this.tab = name)}>${title}</button>`)}</div>
      <div class="drawer-content">${this.#content(row)}</div></aside>`;
  }

  /** @param {Row} row */
  #content(row) {
    if (this.tab === "dns" && lookupsOf(row).length) return dnsTab(lookupsOf(row));
    if (this.tab === "changed") return this.#changed(row);
    if (this.tab === "swaks" || this.tab === "curl") {
      const command = this.tab === "swaks" ? swaks(row, this.journey) : curl(row, this.journey);
      if (!command) return html`<p class="soft">This step was no conversation.</p>`;
      return html`<pre tabindex="0">${command}</pre><p><button @click=${() => copy(command)}>Copy</button></p><p class="soft small">It goes to the world's public port, where programs of this machine reach it.</p>`;
    }
    const transcript = row.event?.dialogue ?? this.#said;
    if (transcript) return dialogue(transcript, row);
    const { event } = row;
    return html`${event ? html`<table class="fields"><tbody>${Object.entries(event).filter(([name, value]) => !["dialogue", "journey", "attempt"].includes(name) && value !== null).map(([name, value]) => html`<tr><th scope="row">${name.replace(/_/g, " ")}</th><td class="mono">${Array.isArray(value) ? value.join(", ") : String(value)}</td></tr>`)}</tbody></table>` : nothing}
      <p class="soft small">${state.report ? "Simulations record no dialogues." : row.kind === "hop" ? "No dialogue of this step was recorded: the sender's end records it, and this one was not ours." : "Nothing was said in this step."}</p>`;
  }

  /** @param {Row} row */
  #changed(row) {
    if (!row.arrival) return html`<p class="soft">The letter was not handed over in this step, so nothing changed in it.</p>`;
    if (!this.#fields) return html`<p class="soft waiting">Reading …</p>`;
    const id = row.arrival.id ?? "";
    const added = this.#fields.filter((field) => field.name.toLowerCase() === "received" && received(field).id === id);
    const isLast = state.hosts.find((host) => host.name === row.host)?.role === "mda";
    if (isLast) added.unshift(...this.#fields.filter(({ name }) => /^(return-path|delivered-to)$/i.test(name)).slice(0, 1));
    if (!added.length) return html`<p class="soft">No copy of the letter is left in which the lines of this hop could be read.</p>`;
    return html`<p class="soft small">Added on top by ${row.host}; the content below was not touched.</p>${added.map(({ name, raw }) => html`<pre class="added" tabindex="0">${`${name}: ${raw}`.split("\n").map((line) => html`<span>+ ${line}</span>`)}</pre>`)}`;
  }
}

/** @param {Row} row */
function about(row) {
  const { event, arrival } = row;
  const words = [
    row.took === null ? timeOf(row.start) : `${timeOf(row.start)}, ${duration(row.took)}`,
    event?.attempt?.address ?? arrival?.from ?? "", event?.attempt?.preference === undefined ? "" : `MX ${event.attempt.preference}`, event?.tls ?? arrival?.tls ?? (arrival ? "no TLS" : ""), event?.size ? `${event.size} bytes` : arrival?.size ? `${arrival.size} bytes` : "",
    event?.recipients ? `for ${event.recipients.slice(0, 5).join(", ")}${event.recipients.length > 5 ? " …" : ""}` : "",
    event?.reason ?? "", event?.until && row.tone === "wait" ? `next try ${whole(event.until)}` : "",
  ].filter(Boolean);
  return html`<p class="soft small about">${words.join(" · ")}</p>`;
}

/** @param {Transcript} transcript @param {Row} row */
function dialogue(transcript, row) {
  /** @type {{ side: string, lines: string[] }[]} */
  const turns = [];
  for (const [side, line] of transcript.lines) {
    const last = turns.at(-1);
    const isMore = last && side === "S" && last.side === "S" && /^\d{3}-/.test(last.lines.at(-1) ?? "");
    if (isMore) last.lines.push(line);
    else turns.push({ side, lines: [line] });
  }
  let isStarting = false;
  return html`<ol class="dialogue" tabindex="0" aria-label="What was said">
    ${turns.map((turn) => {
      const [first, ...rest] = turn.lines;
      const isContent = /^\(.*\)$/.test(first);
      const isReady = isStarting && turn.side === "S" && first.startsWith("220");
      isStarting = turn.side === "C" ? first.toUpperCase() === "STARTTLS" : isStarting && !isReady;
      const side = html`<span class="side" aria-label=${turn.side === "C" ? "client" : "server"}>${turn.side}</span>`;
      return html`<li class=${turn.side}>${side}<span class=${isContent ? "note" : ""}>${first}</span></li>
        ${rest.length > SHORT_ANSWER ? html`<li class=${turn.side}><span class="side"></span><details><summary class="note">${rest.length} more lines</summary>${rest.map((line) => html`<span class="line">${line}</span>`)}</details></li>`
          : rest.map((line) => html`<li class=${turn.side}><span class="side"></span><span>${line}</span></li>`)}
        ${isReady ? html`<li class="tls"><span class="side">${icon("lock")}</span><span class="note">${row.event?.tls ?? "TLS"}</span></li>` : nothing}`;
    })}
    ${transcript.dropped ? html`<li><span class="side"></span><span class="note">and ${transcript.dropped} more lines</span></li>` : nothing}</ol>`;
}

/** Where programs outside reach the entry of the world. */
function entryPort() {
  for (const host of state.hosts) if (host.ports?.smtp) return host.ports.smtp;
  return "127.0.0.1:1025";
}

/** For a shell. @param {string} text */
function quoted(text) {
  return /^[\w@.+:/-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`;
}

/** @param {Row} row @param {Journey | null} journey */
function said(row, journey) {
  const recipients = row.event?.recipients ?? row.arrival?.recipients ?? [];
  if (row.kind !== "hop" || !recipients.length) return null;
  return { from: journey?.reverse_path ?? "", recipients };
}

/** @param {Row} row @param {Journey | null} journey */
function swaks(row, journey) {
  const words = said(row, journey);
  if (!words) return "";
  return `swaks --server ${entryPort()} \\\n  --from ${quoted(words.from || "<>")} \\\n  --to ${quoted(words.recipients.join(","))} \\\n  --data @letter.eml`;
}

/** @param {Row} row @param {Journey | null} journey */
function curl(row, journey) {
  const words = said(row, journey);
  if (!words) return "";
  const raw = new URL(`api/v1/message/${journey?.id}/raw`, document.baseURI);
  return `curl -s ${raw} -o letter.eml\ncurl smtp://${entryPort()} \\\n  --mail-from ${quoted(words.from)} \\\n${words.recipients.map((one) => `  --mail-rcpt ${quoted(one)} \\\n`).join("")}  --upload-file letter.eml`;
}

customElements.define("post-drawer", Drawer);
