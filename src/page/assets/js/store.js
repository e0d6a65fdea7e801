// The one state of the page, and the class of the elements that show it.

import { LitElement } from "../vendor/lit.js";
/** @import { Host, World, Mailbox, Report, SeenFault, Route } from "./types" */

/**
 * @typedef {object} State
 * @property {Route} route
 * @property {World | null} world
 * @property {Host[]} hosts
 * @property {Mailbox[]} mailboxes
 * @property {Record<string, number>} tags
 * @property {SeenFault[]} faults those that are active
 * @property {SeenFault[]} pastFaults those that ended, and hosts that were switched off; one that still is has a negative id and no end
 * @property {number} total messages in the world
 * @property {number} unread
 * @property {{ state: "connecting" | "live" | "polling" | "lost", retryAt: number }} connection
 * @property {string} toast what was done, or why not
 * @property {boolean} isBusy whether an answer is awaited
 * @property {Report | null} report the report of a simulation, if that is what is shown
 */

/** @type {State} */
export const state = {
  route: { view: "mail", parts: [], query: new URLSearchParams() },
  world: null,
  hosts: [],
  mailboxes: [],
  tags: {},
  faults: [],
  pastFaults: [],
  total: 0,
  unread: 0,
  connection: { state: "connecting", retryAt: 0 },
  toast: "",
  isBusy: false,
  report: null,
};

/** The time of what is shown: a simulation has its own. */
export function now() {
  return state.report ? Date.parse(state.report.began) + state.report.seconds * 1000 : Date.now();
}

const changes = new EventTarget();

/** @param {Partial<State>} patch */
export function set(patch) {
  Object.assign(state, patch);
  changes.dispatchEvent(new Event("change"));
}

/** Whether an answer is awaited changes often, and only the header shows it. @param {boolean} isBusy */
export function setBusy(isBusy) {
  state.isBusy = isBusy;
  changes.dispatchEvent(new Event("busy"));
}

/** @param {() => void} callback @param {AbortSignal} signal */
export function onBusy(callback, signal) {
  changes.addEventListener("busy", callback, { signal });
}

/** An element that is rendered again when the state changes. It has no shadow, so that the style sheets of the page apply. */
export class View extends LitElement {
  #changed = () => this.requestUpdate();

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    this.#uncover();
    super.connectedCallback();
    changes.addEventListener("change", this.#changed);
  }

  /** A field of a class lies over the accessor of Lit's that has its name: its value goes there, and the field away. */
  #uncover() {
    const { properties = {} } = /** @type {typeof LitElement} */ (this.constructor);
    for (const name of Object.keys(properties).filter((name) => Object.hasOwn(this, name))) {
      const value = Reflect.get(this, name);
      Reflect.deleteProperty(this, name);
      Reflect.set(this, name, value);
    }
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    changes.removeEventListener("change", this.#changed);
  }
}

let cleared = 0;

/** Says at the bottom of the page what was done. @param {string} text */
export function say(text) {
  clearTimeout(cleared);
  set({ toast: text });
  cleared = setTimeout(() => set({ toast: "" }), 6000);
}
