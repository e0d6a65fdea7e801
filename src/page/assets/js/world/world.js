// The world: a map of its hosts, and the one that was clicked.

import { html, nothing } from "../../vendor/lit.js";
import { change, get } from "../api.js";
import { fateOf } from "../fate.js";
import { count, soon } from "../format.js";
import { listen } from "../live.js";
import { attempt } from "../mail/actions.js";
import { href } from "../routes.js";
import { View, state } from "../store.js";
import { refreshHosts, throttled } from "../world-state.js";
import "./fault-form.js";
import { map, toneOf } from "./map.js";
/** @import { Host, PostEvent, Queued } from "../types" */

/** How long a letter is seen on a link. */
const MOVE_MS = 900;
/** Letters that are drawn at once. */
const MAX_MOVING = 40;
/** Minutes of the line of a host. */
const MINUTES = 30;

/** What each host took in, by minute, since the page was opened. @type {Map<string, Map<number, number>>} */
const traffic = new Map();

class WorldView extends View {
  static properties = { host: {} };
  host = "";
  /** @type {{ from: string, to: string, id: number }[]} */
  #moving = [];
  /** @type {Queued[]} */
  #queue = [];
  #stop = new AbortController();
  #readQueue = throttled(async () => {
    const { host } = this;
    const hasQueue = host && state.hosts.find((one) => one.name === host)?.role !== "mda";
    // A host without a queue is not found there.
    const list = hasQueue ? await get("api/v1/queue", { host, limit: 20 }).catch(() => null) : null;
    if (host === this.host) this.#queue = /** @type {{ messages: Queued[] } | null} */ (list)?.messages ?? [];
    this.requestUpdate();
  }, 500);

  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    listen(["journey"], ({ detail }) => this.#happened(detail), this.#stop.signal);
    listen(["faults", "reset"], () => void this.#readQueue(), this.#stop.signal);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop.abort();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has("host")) {
      this.#queue = [];
      void this.#readQueue();
    }
  }

  /** @param {PostEvent} event */
  #happened(event) {
    void this.#readQueue();
    if (event.step !== "received") return;
    const minutes = traffic.get(event.host) ?? new Map();
    traffic.set(event.host, minutes);
    const minute = Math.floor(Date.now() / 60_000);
    minutes.set(minute, (minutes.get(minute) ?? 0) + 1);
    const fqdn = (event.from ?? "").split(/[\s:]/)[0].toLowerCase();
    const from = state.hosts.find((host) => host.fqdn.toLowerCase() === fqdn)?.name ?? state.hosts.find((host) => host.role === "mua")?.name;
    if (!from || this.#moving.length >= MAX_MOVING) return;
    const moving = { from, to: event.host, id: event.seq };
    this.#moving.push(moving);
    this.requestUpdate();
    setTimeout(() => {
      this.#moving = this.#moving.filter((one) => one !== moving);
      this.requestUpdate();
    }, MOVE_MS);
  }

  render() {
    const { world } = state;
    if (!world) return html`<p class="soft waiting">Reading …</p>`;
    const host = state.hosts.find((one) => one.name === this.host);
    return html`<div class="world ${host ? "has-panel" : ""}"><div class="world-main"><h1 class="hidden">The world ${world.name}</h1>${map(world, this.host, this.#moving)}
        <p class="map-legend soft"><span><i class="light ok"></i>on</span><span><i class="light wait"></i>mail waits, or a fault</span><span><i class="light bad"></i>off</span><span>click a host to open it</span></p></div>
      ${host ? this.#panel(host) : this.host ? html`<aside class="panel"><h2>There is no host ${this.host}</h2></aside>` : nothing}</div>`;
  }

  /** @param {Host} host */
  #panel(host) {
    const links = state.world?.links ?? [];
    const list = (/** @type {string[]} */ names) => [...new Set(names)].join(", ");
    const takes = list(links.filter((link) => link.to === host.name).map((link) => `${link.protocol} from ${link.from}`));
    const sends = list(links.filter((link) => link.from === host.name).map((link) => `${link.protocol} to ${link.to}`));
    const domains = Object.entries(state.world?.domains ?? {}).filter(([, domain]) => domain.mx.includes(host.name) || domain.mailboxes === host.name).map(([name]) => name);
    const faults = state.faults.filter((fault) => !fault.until && (fault.fault.host === host.name || /** @type {string[] | undefined} */ (fault.fault.between)?.includes(host.name)));
    const row = (/** @type {string} */ name, /** @type {unknown} */ value, mono = false) => (value ? html`<tr><th scope="row">${name}</th><td class=${mono ? "mono" : ""}>${value}</td></tr>` : nothing);
    const power = () => attempt(async () => { await change("POST", `api/v1/hosts/${host.name}/${host.on ? "off" : "on"}`); void refreshHosts(); }, `${host.name} is ${host.on ? "off" : "on"}`);
    return html`<aside class="panel" aria-label="Host ${host.name}"><header><h2><i class="light ${toneOf(host)}" aria-hidden="true"></i>${host.name} <span class="tag">${host.role.toUpperCase()}</span></h2>
        ${host.role === "mua" ? nothing : html`<button @click=${power}>Switch ${host.on ? "off" : "on"}</button>`}
        <a class="button icon-only" href=${href(["world"])} aria-label="Close" title="Close">✕</a></header>
      <table class="fields"><tbody>${row("name", host.fqdn, true)}${row("address", host.addresses.join(", "), true)}${row("state", host.on ? "on" : html`<b class="bad">✕ off</b>`)}${row("domains", domains.join(", "))}${row("takes", takes)}${row("sends", sends)}
        ${row("ports here", host.ports ? Object.entries(host.ports).map(([name, address]) => html`<span class="port">${name} ${address}</span> `) : "", true)}
        ${row(`last ${MINUTES} min`, sparkline(host.name))}</tbody></table>
      ${host.queued === undefined ? nothing : html`<h3>Waiting ${count(host.queued)}</h3>${this.#queue.length ? this.#waiting(host) : html`<p class="soft">The queue is empty.</p>`}`}
      ${faults.length ? html`<h3>Faults</h3><ul class="cards">${faults.map((fault) => html`<li><span class="bad">⚡ ${fault.title}</span><button @click=${() => attempt(() => change("DELETE", `api/v1/faults/${fault.id}`), `${fault.title}: ended`)}>End</button></li>`)}</ul>` : nothing}
      ${host.role === "mua" ? nothing : html`<h3>Begin a fault here</h3><post-fault-form .host=${host.name}></post-fault-form>`}</aside>`;
  }

  /** @param {Host} host */
  #waiting(host) {
    const act = (/** @type {string} */ what, /** @type {string} */ done) => attempt(async () => { await change("POST", `api/v1/queue/${what}`, undefined, { host: host.name }); void this.#readQueue(); }, done);
    return html`<ul class="cards">${this.#queue.map((one) => html`<li><a href=${href(["journey", one.id.split("-")[0]])}>${one.reverse_path ?? "<>"} → ${one.recipients[0] ?? ""}${one.recipients.length > 1 ? ` +${one.recipients.length - 1}` : ""}</a>
        <span class="wait" title=${fateOf({ status: "deferred", at: host.name, until: one.due, reason: one.reason ?? "" }).line}>${one.state === "held" ? "held" : soon(one.due)}</span></li>`)}</ul>
      <p class="buttons"><button class="primary" @click=${() => act("flush", "All of them are tried now")}>Try now</button><button @click=${() => act("hold", "All of them are held")}>Hold</button><button @click=${() => act("release", "Released")}>Release</button></p>`;
  }
}

/** Messages a minute. @param {string} host */
function sparkline(host) {
  const now = Math.floor(Date.now() / 60_000), minutes = traffic.get(host);
  const values = Array.from({ length: MINUTES }, (_, at) => minutes?.get(now - MINUTES + 1 + at) ?? 0);
  const most = Math.max(1, ...values), all = values.reduce((sum, value) => sum + value, 0);
  const points = values.map((value, at) => `${(at * 170) / (MINUTES - 1)},${24 - (value * 22) / most}`).join(" ");
  return html`<svg class="spark" viewBox="0 0 170 26" width="170" height="26" role="img" aria-label="${all} messages taken in while this page was open"><polyline points=${points}/></svg> <span class="soft">${count(all)}</span>`;
}

customElements.define("post-world", WorldView);
