// The frame of the page: header, navigation, and the view that the address names.

import { html, nothing } from "../vendor/lit.js";
import { startKeys } from "./keys.js";
import { icon } from "./icons.js";
import { startLive } from "./live.js";
import { count, duration, timeOf } from "./format.js";
import { go, href, startRoutes } from "./routes.js";
import { View, onBusy, state } from "./store.js";
import { toggleTheme } from "./theme-button.js";
import { startWorld } from "./world-state.js";
import "./dialogs.js";
import "./mail/mail.js";
import "./search.js";

const NAVIGATION = /** @type {const} */ ([
  ["mail", "Mail", () => state.total],
  ["world", "World", () => 0],
  ["queues", "Queues", () => state.hosts.reduce((sum, host) => sum + (host.queued ?? 0), 0)],
  ["sessions", "Sessions", () => 0],
  ["faults", "Faults", () => state.faults.length],
  ["log", "Log", () => 0],
  ["learn", "Learn", () => 0],
]);

/** Modules of the views that are loaded when they are shown first, or when nothing else is to be done. @type {Record<string, () => Promise<unknown>>} */
const MODULES = {
  compose: () => import("./compose.js"),
  journey: () => import("./journey/journey.js"),
  letter: () => import("./mail/letter.js"),
  learn: () => import("./learn.js"),
  world: () => import("./world/world.js"),
  queues: () => import("./world/queues.js"),
  sessions: () => import("./world/sessions.js"),
  faults: () => import("./world/faults.js"),
  log: () => import("./world/log.js"),
};

/** Views that need the width. */
const WIDE = ["journey"];

class App extends View {
  /** What the document shows until then goes. */
  createRenderRoot() {
    this.replaceChildren();
    return this;
  }

  render() {
    const { view } = state.route;
    return html`
      <a class="skip" href="#main" @click=${skip}>Skip to the content</a>
      <post-header></post-header>
      ${connectionLine()}
      <div class="frame ${WIDE.includes(view) ? "wide" : ""}">
        <nav class="navigation" aria-label="Views">${navigation(view)}</nav>
        <main id="main" tabindex="-1">${content(view)}</main>
      </div>
      <div class="toast" role="status">${state.toast}</div>
      <post-dialogs></post-dialogs>`;
  }

  updated() {
    const { view, parts } = state.route;
    // What cannot be loaded now is asked for with the next change.
    MODULES[view === "mail" && parts.length ? "letter" : view]?.().catch(() => {});
    const titles = { mail: "Mail", journey: "Journey", world: "World", queues: "Queues", sessions: "Sessions", faults: "Faults", log: "Log", learn: "Learn", compose: "Compose" };
    const name = /** @type {Record<string, string>} */ (titles)[view] ?? "";
    document.title = `${[parts[0], name].filter(Boolean).join(" · ")} · Postroad`;
  }
}

/** @param {string} view */
function content(view) {
  const { parts, query } = state.route;
  switch (view) {
    case "journey":
      return query.get("with") ? html`<post-compare .one=${parts[0] ?? ""} .other=${query.get("with") ?? ""}></post-compare>` : html`<post-journey .journeyId=${parts[0] ?? ""}></post-journey>`;
    case "world":
      return html`<post-world .host=${parts[0] ?? ""}></post-world>`;
    case "queues":
      return html`<post-queues .host=${query.get("host") ?? ""}></post-queues>`;
    case "sessions":
      return html`<post-sessions .session=${parts[0] ?? ""}></post-sessions>`;
    case "faults":
      return html`<post-faults></post-faults>`;
    case "log":
      return html`<post-log></post-log>`;
    case "learn":
      return html`<post-learn .step=${Number(parts[0] ?? 0)}></post-learn>`;
    case "compose":
      return html`<post-compose></post-compose>`;
    default:
      return html`<post-mail></post-mail>`;
  }
}

/** @param {string} view */
function navigation(view) {
  const current = view === "journey" || view === "compose" ? "mail" : view;
  return html`<ul class="views">
      ${NAVIGATION.map(([name, title, number]) => html`
        <li><a href=${href([name])} aria-current=${name === current ? "page" : "false"} title=${title}>
          ${icon(name)}<span class="name">${title}</span>${number() ? html`<span class="count">${count(number())}</span>` : nothing}
        </a></li>`)}
    </ul>
    ${view === "mail" ? html`<post-mailboxes></post-mailboxes>` : nothing}`;
}

/** @param {MouseEvent} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function connectionLine() {
  const { state: how, retryAt } = state.connection;
  if (how !== "lost") return nothing;
  return html`<post-lost .retryAt=${retryAt}></post-lost>`;
}

/** Counts down. */
class Lost extends View {
  static properties = { retryAt: {} };
  retryAt = 0;
  #timer = 0;
  connectedCallback() {
    super.connectedCallback();
    this.#timer = setInterval(() => this.requestUpdate(), 500);
  }
  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }
  render() {
    const left = this.retryAt - Date.now();
    return html`<p class="lost" role="alert">The connection is lost; what you see may be old.
      ${left > 0 ? `Trying again in ${duration(Math.max(1000, Math.ceil(left / 1000) * 1000))}.` : "Trying again …"}</p>`;
  }
}

class Header extends View {
  #timer = 0;
  #stop = new AbortController();
  connectedCallback() {
    super.connectedCallback();
    this.#stop = new AbortController();
    onBusy(() => this.requestUpdate(), this.#stop.signal);
    this.#timer = setInterval(() => this.requestUpdate(), 1000);
  }
  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.#timer);
    this.#stop.abort();
  }
  render() {
    const { state: how } = state.connection;
    const words = { connecting: "connecting", live: "live", polling: "live", lost: "lost" };
    return html`<header class="top">
      <a class="mark" href=${href([])} title="All mail">
        <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 19 9 9l6 5 5-10"/><circle cx="4" cy="19" r="2.6"/><circle cx="9" cy="9" r="2.6"/><circle cx="15" cy="14" r="2.6"/><circle cx="20" cy="4" r="2.6"/></svg>
        <span class="hidden">All mail of </span><b>Postroad</b> <span class="soft world-name">${state.world?.name ?? ""}</span>
      </a>
      <post-search></post-search>
      <span class="connection ${how}"><span class="dot" aria-hidden="true"></span>${words[how]}</span>
      <time class="clock mono">${timeOf(Date.now())}</time>
      <a class="button" href=${href(["compose"])} title="Compose (c)">${icon("plus")}<span class="name">Compose</span></a>
      <button class="icon-only" title="Light or dark" aria-label="Light or dark" @click=${toggleTheme}>${icon("theme")}</button>
      ${state.isBusy ? html`<span class="busy" aria-hidden="true"></span>` : nothing}
    </header>`;
  }
}

customElements.define("post-lost", Lost);
customElements.define("post-header", Header);
startRoutes();
startKeys({ toggleTheme, go });
customElements.define("post-app", App);
startLive();
startWorld();
// Then the next view comes at once.
(window.requestIdleCallback ?? setTimeout)(() => setTimeout(() => Object.values(MODULES).forEach((load) => void load().catch(() => {})), 500));
