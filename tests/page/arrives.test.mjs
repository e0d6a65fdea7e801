// A letter arrives without reloading, and its journey and dialogue are there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { close, empty, open, row, send } from "./browser.mjs";

test("letter_that_is_sent_appears_and_its_journey_opens", async () => {
    await empty();
    const page = await open("/");
    await page.getByText("No mail yet").waitFor();
    await send({ Subject: "Your code is 471 199", HTML: "<p>Hello <b>Ann</b></p>" });
    await row(page, "Your code is 471 199").getByRole("img", { name: "delivered" }).waitFor();
    await row(page, "Your code is 471 199").locator("a.open").click();
    await page.frameLocator("iframe.frame-sheet").getByText("Hello Ann").waitFor();
    await page.locator(".path .station", { hasText: "mda-sina" }).waitFor();

    await page.getByRole("link", { name: "Journey ›" }).click();
    await page.waitForURL(/\/journey\//);
    const steps = page.locator(".waterfall .wf-row .wf-open");
    await steps.filter({ hasText: "mta-relay → mta-sina" }).click();
    await page.locator(".dialogue li.C", { hasText: "MAIL FROM:<me@163.test>" }).waitFor();
    await page.locator(".dialogue li.S", { hasText: "queued as" }).waitFor();
    assert.match(page.url(), /step=\d/);
    await page.getByRole("button", { name: "Changed here" }).click();
    await page.locator(".added", { hasText: "by mx.sina.test" }).waitFor();
    // The address alone leads to the same.
    await page.reload();
    await page.locator(".dialogue").waitFor();
    await page.getByRole("button", { name: "Lanes" }).click();
    await page.locator(".lanes text", { hasText: "mda-sina" }).first().waitFor();
    await close(page);
});

test("list_shows_what_became_of_each_letter", async () => {
    await empty();
    const page = await open("/");
    await send({ Subject: "to nobody", to: "nobody@sina.test" });
    await row(page, "to nobody").getByText("bounced: 550 5.1.1").waitFor();
    await row(page, "to nobody").locator("a.open").click();
    await page.locator(".fates").getByRole("link", { name: "report to the sender" }).click();
    await page.locator(".letter h1", { hasText: "Undelivered" }).waitFor();
    await page.getByRole("link", { name: "Journey ›" }).click();
    await page.getByText("report about").waitFor();
    await close(page);
});

test("letter_written_in_the_page_arrives", async () => {
    await empty();
    const page = await open("/compose");
    await page.getByLabel("From").fill("me@163.test");
    await page.getByLabel("To", { exact: true }).fill("Friend <friend@sina.test>");
    await page.getByLabel("Bcc").fill("audit@other.example");
    await page.getByLabel("Subject").fill("Grüße");
    await page.getByLabel("Text").fill("first line\nsecond line");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".letter h1", { hasText: "Grüße" }).waitFor();
    await page.locator(".envelope .tag", { hasText: "Bcc" }).waitFor();
    await page.getByRole("link", { name: "Reply" }).click();
    assert.equal(await page.getByLabel("Subject").inputValue(), "Re: Grüße");
    assert.match(await page.getByLabel("Text").inputValue(), /> first line\n> second line/);
    await close(page);
});
