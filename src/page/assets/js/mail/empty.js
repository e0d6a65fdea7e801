// A world without mail: how to send some, at the ports of this world.

import { html } from "../../vendor/lit.js";
import { get } from "../api.js";
import { sendSample } from "../sample.js";
import { View, say, state } from "../store.js";

class Empty extends View {
  /** @type {Record<string, string>} */
  #ports = {};

  connectedCallback() {
    super.connectedCallback();
    void get("api/v1/ports").then((/** @type {Record<string, string>} */ ports) => {
      this.#ports = ports;
      this.requestUpdate();
    }).catch(() => {});
  }

  render() {
    const smtp = this.#ports.smtp ?? "127.0.0.1:1025";
    const to = state.world?.message?.[1] ?? state.world?.users[0] ?? "ann@customer.example";
    const commands = [
      `swaks --server ${smtp} --from app@shop.example --to ${to}`,
      `curl smtp://${smtp} --mail-from app@shop.example --mail-rcpt ${to} -T letter.eml`,
      `curl ${new URL("api/v1/send", document.baseURI)} -d '{"From":{"Email":"app@shop.example"},"To":[{"Email":"${to}"}],"Subject":"Hello","Text":"Hi!"}'`,
    ];
    return html`<div class="empty"><h2>No mail yet</h2>
      <p>Whatever your program sends to <code>${smtp}</code> appears here at once, with its way through the world.</p>
      ${commands.map((command) => html`<p class="command"><code tabindex="0">${command}</code><button class="quiet" @click=${() => copy(command)}>Copy</button></p>`)}
      <p><button class="primary" @click=${sendSample}>Send a sample letter</button></p>
    </div>`;
  }
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("The browser lets this page copy nothing; select the text instead");
  }
}

customElements.define("post-empty", Empty);
