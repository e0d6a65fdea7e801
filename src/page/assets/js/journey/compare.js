// Two journeys side by side: each with its waterfall, and what differs between them.

import { html, nothing } from "../../vendor/lit.js";
import { get, part, reason } from "../api.js";
import { dialog } from "../dialogs.js";
import { fateOfAll } from "../fate.js";
import { duration, whole } from "../format.js";
import { icon } from "../icons.js";
import { listen } from "../live.js";
import { go, goQuery, href } from "../routes.js";
import { View, now, state } from "../store.js";
import { styles } from "../styles.js";
import { throttled } from "../world-state.js";
import { TITLES } from "./phases.js";
import { timelineOf } from "./timeline.js";
import { summaryBar } from "./summary.js";
import { waterfall } from "./waterfall.js";
/** @import { Journey, JourneyHead, Timeline } from "../types" */

/** Journeys that are suggested. */
const SUGGESTED = 50;

/** Asks with which journey to compare, and goes there. @param {string} id */
export async function askOther(id) {
  /** @type {{ journeys: JourneyHead[] }} */
  const { journeys } = await get("api/v1/journeys", { limit: SUGGESTED }).catch(() => ({ journeys: state.report?.worst ?? [] }));
  const others = new Map(journeys.filter((one) => one.id !== id).map((one) => [one.id, `${one.reverse_path ?? "<>"} to ${Object.keys(one.recipients)[0] ?? ""}, ${whole(one.began)}`]));
  const answer = await dialog.ask({ title: "Compare with another journey", label: "Its id", value: "", values: others, yes: "Compare" });
  if (answer?.trim()) go(href(["journey", id], { with: answer.trim() }));
}

class Compare extends View {
  static properties = { one: {}, other: {} };
  one = "";
  other = "";
  /** @type {Map<string, Journey>} */
  #journeys = new Map();
  /** @type {Map<string, string>} */
  #errors = new Map();
  #stop = new AbortController();
  #timer = 0;
  #read = throttled(async () => {
    for (const id of [this.one, this.other]) {
      try {
        this.#journeys.set(id, await get(`api/v1/journeys/${part(id)}`));
        this.#errors.delete(id);
      } catch (error) {
        this.#errors.set(id, reason(error));
      }
    }
    this.requestUpdate();
  }, 300);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    listen(["journey"], ({ detail }) => [this.one, this.other].includes(detail.journey) && void this.#read(), this.#stop.signal);
    listen(["reset"], () => void this.#read(), this.#stop.signal);
    this.#timer = setInterval(() => [...this.#journeys.values()].some(({ settled }) => !settled) && this.requestUpdate(), 1000);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
    clearInterval(this.#timer);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has("one") || changed.has("other")) void this.#read();
  }

  render() {
    const sides = [this.one, this.other].map((id) => {
      const journey = this.#journeys.get(id);
      return { id, journey, timeline: journey ? timelineOf(journey, state.hosts, now()) : null, error: this.#errors.get(id) };
    });
    const longest = Math.max(1, ...sides.map(({ timeline }) => (timeline ? timeline.end - timeline.start : 0)));
    const [first, second] = sides;
    return html`<div class="journey"><header class="journey-head"><div class="letter-title">
        <a class="button icon-only" href=${href(["journey", this.one])} aria-label="The first journey alone" title="The first journey alone">${icon("back")}</a><h1>Two journeys</h1>
        <div class="letter-actions"><button @click=${() => go(href(["journey", this.other], { with: this.one }))}>Swap</button><button @click=${() => askOther(this.one)}>Another …</button></div></div></header>
      ${first.timeline && second.timeline ? differences(first.timeline, second.timeline) : nothing}
      <div class="sides">${sides.map(({ id, journey, timeline, error }) => html`<section class="side" aria-labelledby="side-${id}">
        <h2 id="side-${id}"><a class="mono" href=${href(["journey", id])}>${id}</a>${journey ? this.#fate(journey) : nothing}</h2>
        ${error ? html`<p class="wrong" role="alert">${error}</p>` : !journey || !timeline ? html`<p class="soft waiting">Reading …</p>` : html`
          <p class="soft">${journey.reverse_path ?? "<>"} → ${Object.keys(journey.recipients).slice(0, 3).join(", ")}, ${whole(timeline.start)}</p>
          <div class="scaled" ${styles({ width: `${Math.max(4, (100 * (timeline.end - timeline.start)) / longest)}%` })}>${summaryBar(timeline, (at) => this.#open(id, at))}</div>
          ${waterfall(timeline, { chosen: -1, isUnfolded: state.route.query.has("unfolded"), unfold: () => goQuery({ unfolded: "yes" }, { replace: true }), choose: (at) => this.#open(id, at), actions: () => nothing })}`}</section>`)}</div></div>`;
  }

  /** @param {Journey} journey */
  #fate(journey) {
    const fate = fateOfAll(journey.recipients);
    return html` <span class="tag ${fate.tone}">${fate.sign} ${fate.word}</span>`;
  }

  /** A step of one of them, with its dialogue. @param {string} id @param {number} at */
  #open(id, at) {
    go(href(["journey", id], { step: String(at) }));
  }
}

/** @param {number} by */
function signed(by) {
  return by ? `${by > 0 ? "+" : "−"}${Math.abs(by)}` : "the same";
}

/** @param {Timeline} one @param {Timeline} other */
function differences(one, other) {
  // Further tries in vain have no row of their own.
  const attempts = (/** @type {Timeline} */ { rows }) => rows.reduce((sum, row) => sum + Number(row.kind === "hop") + row.tries.length, 0);
  const hosts = (/** @type {Timeline} */ timeline) => timeline.hosts.filter((host) => host !== "waits");
  const sum = (/** @type {Timeline} */ { sums }, /** @type {string} */ name) => sums.find(([one]) => one === name)?.[1] ?? 0;
  const names = [...new Set([...one.sums, ...other.sums].map(([name]) => name))];
  /** @type {[string, number, number][]} */
  const times = [["from first to last", one.end - one.start, other.end - other.start], ["waiting", one.waited, other.waited], ...names.map((name) => /** @type {[string, number, number]} */ ([TITLES[name], sum(one, name), sum(other, name)]))];
  const only = (/** @type {Timeline} */ a, /** @type {Timeline} */ b) => hosts(a).filter((host) => !hosts(b).includes(host)).join(", ");
  const sign = (/** @type {number} */ by) => (Math.abs(by) < 0.05 ? "the same" : `${by > 0 ? "+" : "−"}${duration(Math.abs(by))}`);
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label="What differs"><table class="list differences"><thead><tr><th scope="col">what</th><th scope="col">first</th><th scope="col">second</th><th scope="col">second against first</th></tr></thead><tbody>
    ${times.map(([what, a, b]) => html`<tr><th scope="row">${what}</th><td>${duration(a)}</td><td>${duration(b)}</td><td>${sign(b - a)}</td></tr>`)}
    <tr><th scope="row">conversations</th><td>${attempts(one)}</td><td>${attempts(other)}</td><td>${signed(attempts(other) - attempts(one))}</td></tr>
    ${only(one, other) || only(other, one) ? html`<tr><th scope="row">hosts of this one alone</th><td>${only(one, other) || "–"}</td><td>${only(other, one) || "–"}</td><td></td></tr>` : nothing}</tbody></table></div>`;
}

customElements.define("post-compare", Compare);
