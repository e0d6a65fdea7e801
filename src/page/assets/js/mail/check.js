// Which mail clients show the HTML of a letter as it is meant.

import { html, nothing } from "../../vendor/lit.js";
import { get, part, reason } from "../api.js";
import { plural } from "../format.js";
import { View } from "../store.js";
import { styles } from "../styles.js";
/** @import { HtmlCheck, HtmlWarning } from "../types" */

class Check extends View {
  static properties = { letterId: {}, clients: { state: true } };
  letterId = "";
  /** The platform whose clients count; all if empty. */
  clients = "";
  /** @type {HtmlCheck | null} */
  #check = null;
  #error = "";

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (!changed.has("letterId")) return;
    this.#check = null;
    this.#error = "";
    void this.#read(this.letterId);
  }

  /** @param {string} id */
  async #read(id) {
    try {
      const check = /** @type {HtmlCheck} */ (await get(`api/v1/message/${part(id)}/html-check`));
      if (id === this.letterId) this.#check = check;
    } catch (error) {
      if (id === this.letterId) this.#error = reason(error);
    }
    this.requestUpdate();
  }

  render() {
    const check = this.#check;
    if (this.#error) return html`<div class="desk padded"><p class="wrong" role="alert">${this.#error}</p></div>`;
    if (!check) return html`<div class="desk padded"><p class="soft waiting">Checking …</p></div>`;
    const { Total, Platforms } = check;
    const warnings = check.Warnings.map((one) => ({ one, lacking: lacking(check, one, this.clients) })).filter(({ lacking }) => lacking.length);
    return html`<div class="desk padded check">
      <p>${share(Total.Supported)} of what this letter uses is shown as it is meant, ${share(Total.Partial)} in part, ${share(Total.Unsupported)} not at all, over all mail clients that <a href="https://www.caniemail.com" target="_blank" rel="noreferrer">caniemail.com</a> knows.</p>
      ${bar(Total)}
      <p><label>Clients <select @change=${(/** @type {Event} */ event) => (this.clients = /** @type {HTMLSelectElement} */ (event.target).value)}><option value="">all</option>${Object.keys(Platforms).map((name) => html`<option value=${name}>${name.replace(/-/g, " ")}</option>`)}</select></label></p>
      ${warnings.length ? html`<ul class="cards">${warnings.map(({ one, lacking }) => warning(one, lacking))}</ul>` : html`<p class="ok">✓ These clients support all that it uses.</p>`}</div>`;
  }
}

/** The clients that do not support a feature, or in part, without their platforms and versions. @param {HtmlCheck} check @param {HtmlWarning} warning @param {string} platform */
function lacking({ Platforms }, { Results }, platform) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const { Name, Platform, Support } of Results) {
    if (Support === "yes" || (platform && Platform !== platform)) continue;
    const client = Platforms[Platform]?.filter((one) => Name.startsWith(one)).sort((one, other) => other.length - one.length)[0] ?? Name;
    if (found.get(client) !== "no") found.set(client, Support);
  }
  return [...found].sort(([one], [other]) => one.localeCompare(other));
}

/** @param {HtmlWarning} warning @param {[string, string][]} lacking */
function warning({ Title, Category, URL, Score }, lacking) {
  const names = (/** @type {string} */ support) => lacking.filter(([, one]) => one === support).map(([name]) => name).join(", ");
  const none = names("no"), partly = names("partial");
  return html`<li><div><a href=${URL} target="_blank" rel="noreferrer"><b>${Title}</b></a> <span class="tag">${Category.toUpperCase()}</span> <span class="soft">used ${Score.Found === 1 ? "once" : plural(Score.Found, "time")}</span>
    ${none ? html`<p class="bad small">✕ ${none}</p>` : nothing}${partly ? html`<p class="wait small">◷ in part: ${partly}</p>` : nothing}</div>
    <div class="score">${bar(Score)}<span class="soft small">${share(Score.Supported)} show it</span></div></li>`;
}

/** @param {{ Supported: number, Partial: number, Unsupported: number }} score */
function bar({ Supported, Partial, Unsupported }) {
  return html`<div class="score-bar" aria-hidden="true"><i class="yes" ${styles({ flexGrow: Supported })}></i><i class="partly" ${styles({ flexGrow: Partial })}></i><i class="no" ${styles({ flexGrow: Unsupported })}></i></div>`;
}

/** @param {number} percent */
function share(percent) {
  return `${percent < 10 || percent > 99 ? percent.toFixed(1).replace(/\.0$/, "") : Math.round(percent)} %`;
}

customElements.define("post-html-check", Check);
