// A first letter, for those who have none.

import { change, reason } from "./api.js";
import { go, href } from "./routes.js";
import { say, state } from "./store.js";

/** Sends it; returns its id, or null. */
export async function sendSampleLetter() {
  const [from, to] = state.world?.message ?? [state.world?.users[0] ?? "me@shop.example", state.world?.users[1] ?? "ann@customer.example"];
  const HTML = `<h1 style="font-size:22px;margin:0 0 12px">A letter from the post road</h1>
<p>It went from host to host, as letters did from station to station. Open its <b>journey</b> to see each of them.</p>
<p style="background:#f2f4f3;border-radius:10px;padding:24px;text-align:center;font:bold 32px monospace;letter-spacing:.1em">471 199</p>
<p>This picture is elsewhere, and stays there: <img src="https://pictures.example/stamp.png" alt="a stamp" width="40" height="20"></p>
<p><a href="https://shop.example/confirm?c=471199">https://shop.example/confirm?c=471199</a></p>`;
  const Text = "A letter from the post road\n\nYour code is 471199.\nhttps://shop.example/confirm?c=471199\n";
  try {
    const answer = await change("POST", "api/v1/send", {
      From: { Email: from, Name: "The post road" }, To: [{ Email: to }], Subject: "Your code is 471 199", HTML, Text, Tags: ["sample"],
    });
    return /** @type {string} */ ((await answer.json()).ID);
  } catch (error) {
    say(`The letter could not be sent: ${reason(error)}`);
    return null;
  }
}

export async function sendSample() {
  const id = await sendSampleLetter();
  if (id) go(href(["mail", id]));
}
