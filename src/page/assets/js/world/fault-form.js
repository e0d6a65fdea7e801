// A form for each kind of fault, made from what the interface says of its fields.

import { html, nothing } from "../../vendor/lit.js";
import { change, get, reason } from "../api.js";
import { View, say, state } from "../store.js";
import { refreshFaults } from "../world-state.js";
/** @import { FaultField, FaultKind } from "../types" */

/** @type {Promise<FaultKind[]> | null} */
let kinds = null;

class FaultForm extends View {
  static properties = { host: {}, kind: { state: true } };
  /** The host at which it is to be; any if empty. */
  host = "";
  kind = "off";
  /** @type {FaultKind[]} */
  #kinds = [];
  /** @type {Record<string, string>} */
  #values = {};
  #error = "";

  async connectedCallback() {
    super.connectedCallback();
    try {
      kinds ??= get("api/v1/faults/kinds");
      this.#kinds = await kinds;
    } catch (error) {
      kinds = null;
      this.#error = reason(error);
    }
    this.requestUpdate();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (!changed.has("host")) return;
    this.#values = {};
    this.#error = "";
    if (!this.#fitting().some((one) => one.kind === this.kind)) this.kind = this.#fitting()[0]?.kind ?? "off";
  }

  /** The kinds that this host can have. */
  #fitting() {
    const role = state.hosts.find((host) => host.name === this.host)?.role;
    if (!role) return this.#kinds;
    return this.#kinds.filter((kind) => {
      const field = kind.fields.find((one) => one.name === "host" && one.is_required);
      return field ? field.roles?.includes(role) : kind.kind !== "dns" || role === "dns";
    });
  }

  /** @param {FaultField} field */
  #value(field) {
    return this.#values[field.name] ?? (field.name === "host" && field.is_required && this.host ? this.host : field.example ?? "");
  }

  /** The fault as the interface takes it. @param {FaultKind} kind */
  #fault(kind) {
    /** @type {Record<string, unknown>} */
    const fault = { kind: kind.kind };
    for (const field of kind.fields) {
      const value = this.#value(field);
      if (field.type === "link") fault[field.name] = this.#ends();
      else if (field.type === "host") { if (value || field.is_required) fault[field.name] = value || this.#hosts(field)[0]; }
      else if (value !== "") fault[field.name] = field.type === "number" ? Number(value) : value;
      else if (field.type === "choice" && field.is_required) fault[field.name] = field.values?.[0];
    }
    return fault;
  }

  #ends() {
    const links = state.world?.links ?? [];
    const near = links.find((link) => link.from === this.host || link.to === this.host) ?? links[0];
    const first = this.#values["between.0"] ?? (this.host || (near?.from ?? ""));
    const other = near ? (near.from === first ? near.to : near.from) : "outside";
    return [first, this.#values["between.1"] ?? other];
  }

  /** @param {FaultField} field */
  #hosts(field) {
    return state.hosts.filter((host) => field.roles?.includes(host.role)).map((host) => host.name);
  }

  /** @param {Event} event */
  async #begin(event) {
    event.preventDefault();
    const kind = this.#kinds.find((one) => one.kind === this.kind);
    if (!kind) return;
    try {
      const answer = await change("POST", "api/v1/faults", this.#fault(kind));
      say(`Begun: ${(await answer.json()).title}`);
      this.#error = "";
      void refreshFaults();
    } catch (error) {
      this.#error = reason(error);
    }
    this.requestUpdate();
  }

  render() {
    const kind = this.#kinds.find((one) => one.kind === this.kind);
    return html`<form class="fault-form" @submit=${this.#begin}>
      <label><span>What goes wrong</span><select @change=${(/** @type {Event} */ event) => { this.kind = /** @type {HTMLSelectElement} */ (event.target).value; this.#values = {}; }}>
        ${this.#fitting().map((one) => html`<option value=${one.kind} ?selected=${one.kind === this.kind}>${one.title}</option>`)}</select></label>
      ${kind?.fields.map((field) => this.#field(field))}
      ${this.#error ? html`<p class="wrong" role="alert">${this.#error}</p>` : nothing}
      <p class="buttons"><button class="primary">Begin</button>${kind ? html`<code class="small">${command(this.#fault(kind))}</code>` : nothing}</p></form>`;
  }

  /** @param {FaultField} field */
  #field(field) {
    const set = (/** @type {string} */ name) => (/** @type {Event} */ event) => {
      this.#values[name] = /** @type {HTMLInputElement} */ (event.target).value;
      this.requestUpdate();
    };
    if (field.type === "host" && field.is_required && this.host) return nothing;
    if (field.type === "link") {
      const ends = [...state.hosts.map((host) => host.name), "outside"], chosen = this.#ends();
      return html`<div class="pair">${[0, 1].map((at) => html`<label><span>${at ? "and" : "between"}</span><select @change=${set(`between.${at}`)}>${ends.map((end) => html`<option ?selected=${end === chosen[at]}>${end}</option>`)}</select></label>`)}</div>`;
    }
    if (field.type === "choice" || field.type === "host") {
      const options = field.type === "host" ? this.#hosts(field) : field.values ?? [];
      return html`<label title=${field.help}><span>${field.name}</span><select @change=${set(field.name)}>${field.is_required || field.type === "choice" ? nothing : html`<option></option>`}
        ${options.map((option) => html`<option ?selected=${option === this.#value(field)}>${option}</option>`)}</select><small class="soft">${field.help}</small></label>`;
    }
    return html`<label title=${field.help}><span>${field.name}</span><input .value=${this.#value(field)} ?required=${field.is_required} inputmode=${field.type === "number" ? "decimal" : "text"}
      placeholder=${field.type === "duration" ? "30s" : ""} @input=${set(field.name)}><small class="soft">${field.help}</small></label>`;
  }
}

/** The same for a terminal. @param {Record<string, unknown>} fault */
function command(fault) {
  const words = Object.entries(fault).filter(([name, value]) => name !== "kind" && value !== "").map(([name, value]) => {
    const word = `${name}=${Array.isArray(value) ? value.join(",") : value}`;
    return /\s/.test(word) ? `"${word}"` : word;
  });
  return ["postroad fault begin", fault.kind, ...words].join(" ");
}

customElements.define("post-fault-form", FaultForm);
