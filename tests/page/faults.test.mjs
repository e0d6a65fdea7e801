// A fault is begun in the page, the letter waits, the fault ends, the letter arrives.
import { test } from "node:test";
import { api, close, empty, open, row, send } from "./browser.mjs";

/** Waits until a message is in the queue of mta-relay, and in no other. */
async function waitsAtRelay(id) {
    for (let tries = 0; tries < 200; tries++) {
        const all = await api("GET", `queue?id=${id}`), there = await api("GET", `queue?id=${id}&host=mta-relay`);
        if (all.total === 1 && there.total === 1) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${id} is not in the queue of mta-relay`);
}

test("fault_begun_and_ended_in_the_page_delays_a_letter", async () => {
    await empty();
    const world = await open("/world/mta-sina");
    await world.getByLabel("What goes wrong").selectOption("reply");
    await world.getByRole("textbox", { name: /^reply/ }).fill("451 4.7.1 not now");
    await world.getByRole("button", { name: "Begin" }).click();
    await world.locator(".panel .cards", { hasText: "mta-sina replies 451 4.7.1 not now" }).waitFor();

    const page = await open("/");
    const id = await send({ Subject: "late" });
    await row(page, "late").getByText(/waits until .*451 4\.7\.1 not now/).waitFor();
    await page.goto(`${page.url()}journey/${id}`);
    await page.locator(".wf-row.wait", { hasText: "next try" }).getByRole("button", { name: "Try now" }).click();
    await page.locator(".wf-row", { hasText: /more tr(y|ies)/ }).first().waitFor();
    await page.getByRole("button", { name: /^End: mta-sina replies/ }).click();
    await page.locator(".toast", { hasText: "ended" }).waitFor();
    await page.getByRole("button", { name: "Try now" }).click().catch(() => {});
    await page.locator("h1 .tag", { hasText: "delivered" }).waitFor();
    await page.locator(".wf-row", { hasText: "friend: INBOX" }).waitFor();
    await page.locator(".fault-line", { hasText: "is why it was late" }).waitFor();
    await close(page);
    await close(world);
});

test("fault_that_ended_before_the_page_was_opened_is_still_a_band_of_the_journey", async () => {
    await empty();
    const fault = await api("POST", "faults", { kind: "reply", host: "mta-sina", at: "rcpt", reply: "451 4.7.1 busy" });
    const id = await send({ Subject: "late unseen" });
    await waitsAtRelay(id);
    await api("DELETE", `faults/${fault.id}`);
    await api("POST", "hosts/mta-sina/off");
    await api("POST", "queue/flush?all=true");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await api("POST", "hosts/mta-sina/on");
    await api("POST", "queue/flush?all=true");
    await api("GET", `journeys/${id}?wait=30s`);
    const page = await open(`/journey/${id}`);
    await page.locator(".wf-band[title*='451 4.7.1 busy']").first().waitFor();
    await page.locator(".wf-band[title*='off']").first().waitFor();
    await page.locator(".fault-line", { hasText: "451 4.7.1 busy" }).waitFor();
    await page.goto(new URL("/faults", page.url()).href);
    await page.getByRole("heading", { name: "Ended" }).waitFor();
    await page.locator(".cards", { hasText: "451 4.7.1 busy" }).waitFor();
    await close(page);
});

test("host_switched_off_in_the_page_is_off_and_its_queue_can_be_held_and_deleted", async (t) => {
    await empty();
    t.after(() => api("POST", "hosts/mta-sina/on"));
    const page = await open("/world/mta-sina");
    await page.getByRole("button", { name: "Switch off" }).click();
    await page.getByRole("button", { name: "Switch on" }).waitFor();
    await page.locator(".node.bad", { hasText: "mta-sina" }).waitFor();
    await waitsAtRelay(await send({ Subject: "waits" }));
    await page.goto(new URL("/queues", page.url()).href);
    await page.getByRole("button", { name: "Hold" }).click();
    await page.getByRole("cell", { name: "held" }).waitFor();
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("Nothing waits").waitFor();
    await close(page);
});
