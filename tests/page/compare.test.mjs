// Two journeys side by side, by an address of their own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, close, empty, open, send } from "./browser.mjs";

test("two_journeys_side_by_side_show_what_differs", async () => {
    await empty();
    const quick = await send({ Subject: "quick" });
    await api("GET", `journeys/${quick}?wait=10s`);
    const fault = await api("POST", "faults", { kind: "reply", host: "mta-sina", at: "rcpt", reply: "451 4.7.1 not now" });
    const late = await send({ Subject: "late" });
    const page = await open(`/journey/${late}`);
    // One more try in vain, which has no row of its own.
    await page.locator(".wf-row.wait", { hasText: /more tr(y|ies)/ }).waitFor();
    await api("DELETE", `faults/${fault.id}`);
    // It may have been tried again by itself meanwhile.
    await page.getByRole("button", { name: "Try now" }).click({ timeout: 3000 }).catch(() => {});
    await page.locator("h1 .tag", { hasText: "delivered" }).waitFor();
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByLabel("Its id").fill(quick);
    await page.getByRole("dialog").getByRole("button", { name: "Compare" }).click();
    await page.waitForURL(new RegExp(`journey/${late}\\?with=${quick}$`));
    await page.reload();
    const sides = page.locator(".side");
    await sides.nth(1).locator(".waterfall").waitFor();
    assert.equal(await sides.nth(0).locator(".wf-wait").count(), 1);
    assert.equal(await sides.nth(1).locator(".wf-wait").count(), 0);
    // On a slow machine it was tried more than twice in vain.
    const { events } = await api("GET", `journeys/${late}`);
    const vain = events.filter((event) => event.step === "deferred").length;
    assert.ok(vain >= 2);
    await page.getByRole("row", { name: new RegExp(`^conversations ${4 + vain} 4 −${vain}`) }).waitFor();
    await page.getByRole("button", { name: "Swap" }).click();
    await page.getByRole("row", { name: new RegExp(`^conversations 4 ${4 + vain} \\+${vain}`) }).waitFor();
    // A step leads to what was said in it.
    await sides.nth(1).locator(".wf-row.hop .wf-open").nth(1).click();
    await page.waitForURL(new RegExp(`journey/${late}\\?step=1$`));
    await page.locator(".drawer .dialogue li.C", { hasText: "MAIL FROM:" }).waitFor();
    await page.goBack();
    await sides.nth(1).locator(".waterfall").waitFor();
    await page.goto(new URL(`/journey/${late}?with=0000000000`, page.url()).href);
    await page.getByRole("alert").waitFor();
    await close(page);
});
