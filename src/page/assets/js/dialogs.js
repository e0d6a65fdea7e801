// Questions that stop the reader: is this meant, and which word.

import { html, nothing } from "../vendor/lit.js";
import { View } from "./store.js";
/** @import { Key } from "./keys.js" */

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {unknown} [text]
 * @property {string} [label] of a field
 * @property {string} [value] of the field at first
 * @property {string[] | Map<string, string>} [values] that are suggested for the field, with what they mean
 * @property {string} yes what the button says
 * @property {boolean} [isDangerous]
 */

class Dialogs extends View {
  /** @type {Question | null} */
  #question = null;
  /** @type {(answer: string | null) => void} */
  #answer = () => {};
  /** @type {Key[]} */
  #keys = [];

  /** @param {Question} question @returns {Promise<string | null>} */
  ask(question) {
    this.#question = question;
    this.#keys = [];
    this.#show();
    return new Promise((resolve) => (this.#answer = resolve));
  }

  /** @param {Key[]} keys */
  keys(keys) {
    this.#question = null;
    this.#keys = keys;
    this.#show();
  }

  async #show() {
    this.requestUpdate();
    await this.updateComplete;
    this.querySelector("dialog")?.showModal();
  }

  /** @param {Event} event */
  #closed = (event) => {
    const dialog = /** @type {HTMLDialogElement} */ (event.target);
    const field = /** @type {HTMLInputElement | null} */ (dialog.querySelector("input"));
    const answer = dialog.returnValue === "yes" ? (field?.value ?? "yes") : null;
    dialog.returnValue = "";
    this.#question = null;
    this.#keys = [];
    this.requestUpdate();
    this.#answer(answer);
    this.#answer = () => {};
  };

  render() {
    const question = this.#question;
    return html`<dialog aria-labelledby="dialog-title" @close=${this.#closed}>
      ${question ? html`<form method="dialog">
        <h2 id="dialog-title">${question.title}</h2>
        ${question.text ? html`<p>${question.text}</p>` : nothing}
        ${question.label ? html`<label>${question.label}<input .value=${question.value ?? ""} list="dialog-values" autofocus><datalist id="dialog-values">${options(question.values)}</datalist></label>` : nothing}
        <p class="buttons"><button value="yes" class=${question.isDangerous ? "danger" : "primary"}>${question.yes}</button><button value="no" ?autofocus=${!question.label}>Cancel</button></p>
      </form>` : nothing}
      ${this.#keys.length ? html`<form method="dialog"><h2 id="dialog-title">Keys</h2><table class="keys"><tbody>
        ${this.#keys.map(({ keys, what, where }) => html`<tr><th scope="row"><kbd>${keys}</kbd></th><td>${what}</td><td class="soft">${where}</td></tr>`)}
      </tbody></table><p class="buttons"><button value="no" autofocus>Close</button></p></form>` : nothing}
    </dialog>`;
  }
}

/** @param {string[] | Map<string, string>} [values] */
function options(values = []) {
  const pairs = values instanceof Map ? [...values] : values.map((value) => [value, ""]);
  return pairs.map(([value, meaning]) => html`<option value=${value} label=${meaning || nothing}></option>`);
}

customElements.define("post-dialogs", Dialogs);

const shown = () => /** @type {Dialogs} */ (document.querySelector("post-dialogs"));

export const dialog = {
  /** What the reader wrote, or null. @param {Question} question */
  ask: (question) => shown().ask(question),
  /** Whether it is meant. @param {string} title @param {string} yes @param {string} [text] */
  confirm: async (title, yes, text) => (await shown().ask({ title, yes, text, isDangerous: true })) !== null,
  /** @param {Key[]} keys */
  keys: (keys) => shown().keys(keys),
};
