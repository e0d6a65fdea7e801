// A journey: where a letter is, how it came there, and why it is late. It moves while it happens.

import { html, nothing } from "../../vendor/lit.js";
import { Refusal, change, get, part, reason } from "../api.js";
import { dialog } from "../dialogs.js";
import { fateOfAll } from "../fate.js";
import { duration, plural, timeOf } from "../format.js";
import { icon } from "../icons.js";
import { onKeys } from "../keys.js";
import { listen } from "../live.js";
import { attempt } from "../mail/actions.js";
import { goQuery, href } from "../routes.js";
import { View, now, state } from "../store.js";
import { throttled } from "../world-state.js";
import { askOther } from "./compare.js";
import "./drawer.js";
import { asMermaid, asText, download } from "./export.js";
import { lanes } from "./lanes.js";
import { timelineOf } from "./timeline.js";
import { summaryBar } from "./summary.js";
import { faultsAt, waterfall } from "./waterfall.js";
/** @import { Journey, Row, Timeline } from "../types" */

/** How often what is under way is drawn again. */
const TICK_MS = 250;

class JourneyView extends View {
  static properties = { journeyId: {}, isUnfolded: { state: true } };
  journeyId = "";
  isUnfolded = false;
  /** @type {Journey | null} */
  #journey = null;
  #subject = "";
  /** @type {unknown} */
  #error = null;
  #stop = new AbortController();
  #timer = 0;
  #read = throttled(async () => {
    const id = this.journeyId;
    try {
      const journey = /** @type {Journey} */ (await get(`api/v1/journeys/${part(id)}`));
      if (id !== this.journeyId) return;
      this.#journey = journey;
      this.#error = null;
    } catch (error) {
      if (!this.#journey) this.#error = error;
    }
    this.requestUpdate();
  }, 150);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    listen(["journey"], ({ detail }) => detail.journey === this.journeyId && void this.#read(), signal);
    listen(["reset"], () => void this.#read(), signal);
    onKeys((key) => this.#key(key), signal);
    this.#timer = setInterval(() => this.#journey && !this.#journey.settled && this.requestUpdate(), TICK_MS);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
    clearInterval(this.#timer);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (!changed.has("journeyId")) return;
    this.#journey = null;
    this.#error = null;
    this.#subject = "";
    this.isUnfolded = false;
    void this.#read();
    void this.#readSubject(this.journeyId);
  }

  /** The subject, without marking the letter as read. @param {string} id */
  async #readSubject(id) {
    const headers = /** @type {Record<string, string[]>} */ (await get(`api/v1/message/${part(id)}/headers`).catch(() => ({})));
    const { decodeWords } = await import("../mail/mime.js");
    if (id !== this.journeyId) return;
    this.#subject = decodeWords(headers.Subject?.[0] ?? "");
    this.requestUpdate();
  }

  /** @param {string} key */
  #key(key) {
    const timeline = this.#timeline();
    if (!timeline) return false;
    const step = this.#step();
    if (key === "j" || key === "k") {
      const next = Math.max(0, Math.min(timeline.rows.length - 1, (step ?? -1) + (key === "j" ? 1 : -1)));
      goQuery({ step: String(next) }, { replace: true });
      return true;
    }
    if (key === "Escape" && step !== null) {
      goQuery({ step: undefined }, { replace: true });
      return true;
    }
    return false;
  }

  #step() {
    const text = state.route.query.get("step");
    return text === null ? null : Number(text);
  }

  #timeline() {
    return this.#journey ? timelineOf(this.#journey, state.hosts, now()) : null;
  }

  render() {
    if (this.#error) return html`<div class="empty">${missing(this.#error)}</div>`;
    const journey = this.#journey, timeline = this.#timeline();
    if (!journey || !timeline) return html`<div class="journey"><p class="soft waiting">Reading …</p></div>`;
    const step = this.#step(), row = step === null ? null : timeline.rows[step] ?? null;
    const view = state.route.query.get("view") ?? "waterfall", choose = (/** @type {number} */ at) => goQuery({ step: String(at) }, { replace: true });
    return html`<div class="journey-frame ${row ? "has-drawer" : ""}"><div class="journey">
      ${this.#head(journey, timeline)}
      ${summaryBar(timeline, choose)}
      <div class="journey-tools"><div class="segments" role="group" aria-label="View">${[["waterfall", "Waterfall"], ["lanes", "Lanes"]].map(([name, title]) => html`<button aria-pressed=${view === name} @click=${() => goQuery({ view: name }, { replace: true })}>${title}</button>`)}</div>
        ${view === "waterfall" ? html`<button class="quiet" aria-pressed=${this.isUnfolded} @click=${() => (this.isUnfolded = !this.isUnfolded)}>${this.isUnfolded ? "Fold long waits" : "Unfold waits"}</button>` : nothing}</div>
      ${view === "lanes" ? lanes(timeline, step ?? -1, choose) : waterfall(timeline, { chosen: step ?? -1, isUnfolded: this.isUnfolded, unfold: () => (this.isUnfolded = true), choose, actions: (one) => this.#actions(one) })}
      ${faultLine(timeline)}</div>
      <post-drawer .row=${row} .journey=${journey} .close=${() => goQuery({ step: undefined }, { replace: true })}></post-drawer></div>`;
  }

  /** @param {Journey} journey @param {Timeline} timeline */
  #head(journey, timeline) {
    const fate = fateOfAll(journey.recipients), id = journey.id;
    const recipients = Object.keys(journey.recipients);
    const attempts = timeline.rows.filter((row) => row.kind === "hop").length;
    return html`<header class="journey-head"><div class="letter-title">${state.report ? html`<a class="button icon-only" href=${href(["report"])} aria-label="The report" title="The report">${icon("back")}</a>` : html`<a class="button icon-only" href=${href(["mail", id])} aria-label="The letter" title="The letter">${icon("back")}</a>`}
        <h1>${this.#subject || html`<span class="mono">${id}</span>`} <span class="tag ${fate.tone}">${fate.sign} ${fate.word}</span></h1>
        <div class="letter-actions">${state.report ? nothing : html`<a class="button" href=${href(["mail", id])} title="The letter">${icon("mail")}<span class="name">Letter</span></a>`}
          <button title="Beside another journey" @click=${() => askOther(id)}>Compare</button>
          <button @click=${() => download(`${id}.json`, JSON.stringify(journey, null, 2), "application/json")}>JSON</button>
          <button @click=${() => download(`${id}.mmd`, asMermaid(timeline), "text/plain")}>Mermaid</button>
          <button @click=${() => download(`${id}.txt`, asText(journey, timeline), "text/plain")}>Text</button></div></div>
      <p class="soft">${journey.reverse_path ?? "the null sender <>"} → ${recipients.slice(0, 4).join(", ")}${recipients.length > 4 ? ` and ${recipients.length - 4} more` : ""} · <span class="mono">${id}</span> · ${duration(timeline.end - timeline.start)} from first to last · ${plural(attempts, "conversation")}
      ${timeline.about ? html` · report about <a href=${href(["journey", timeline.about])}>journey ${timeline.about}</a>` : nothing}</p></header>`;
  }

  /** What can be done where it waits. @param {Row} row */
  #actions(row) {
    const isHeld = row.kind === "note" && row.what === "is held" && this.#journey && Object.values(this.#journey.recipients).some((fate) => fate.status === "held");
    if (state.report || (!row.isOpen && !isHeld)) return nothing;
    const host = row.event?.host ?? "", id = row.event?.id ?? this.journeyId;
    const act = (/** @type {string} */ what, /** @type {string} */ done) => attempt(() => change("POST", `api/v1/queue/${what}`, undefined, { host, id }), done);
    const faults = faultsAt(row.host, row).filter((fault) => !fault.until);
    return html`<span class="row-actions">${isHeld ? html`<button @click=${() => act("release", "Released")}>Release</button>` : html`<button class="primary" @click=${() => act("flush", "It is tried now")}>Try now</button><button @click=${() => act("hold", "It is held until you release it")}>Hold</button>`}
      <button class="danger" @click=${async () => (await dialog.confirm("Delete it from the queue?", "Delete", "These recipients do not get it, and the sender gets no report.")) && act("delete", "Deleted from the queue")}>Delete</button>
      ${faults.map((fault) => fault.id < 0 ? html`<button @click=${() => attempt(() => change("POST", `api/v1/hosts/${part(String(fault.fault.host))}/on`), `${fault.fault.host} is on`)}>Switch ${fault.fault.host} on</button>` : html`<button @click=${() => attempt(() => change("DELETE", `api/v1/faults/${fault.id}`), `${fault.title}: ended`)}>End: ${fault.title}</button>`)}</span>`;
  }
}

/** Which faults made it late. @param {Timeline} timeline */
function faultLine(timeline) {
  const found = new Map(timeline.rows.filter((row) => row.tone !== "ok").flatMap((row) => faultsAt(row.host, row)).map((fault) => [fault.id, fault]));
  const host = timeline.rows.find((row) => row.tone === "wait" || row.tone === "bad")?.host ?? timeline.rows.at(-1)?.host;
  return html`<p class="fault-line">${[...found.values()].map((fault) => html`<span><i class="key band"></i><b class="bad">${fault.title}</b>, ${timeOf(fault.since)} to ${fault.until ? timeOf(fault.until) : "now"}, is why ${timeline.isSettled ? "it was late" : "it is late"}. </span>`)}
    ${host && !state.report && state.hosts.some((one) => one.name === host) ? html`<a class="button" href=${href(["world", host])}>Begin a fault at ${host} …</a>` : nothing}</p>`;
}

/** @param {unknown} error */
function missing(error) {
  if (error instanceof Refusal && (error.status === 404 || error.status === 400)) return html`<h2>There is no such journey</h2><p>${error.message}</p><p><a class="button" href=${href([])}>${state.report ? "The report" : "All mail"}</a></p>`;
  return html`<h2>The journey could not be read</h2><p>${reason(error)}</p>`;
}

customElements.define("post-journey", JourneyView);
