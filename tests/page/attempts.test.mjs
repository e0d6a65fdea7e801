// The attempts of a journey: hosts that were tried in vain, phases, and the answers of DNS. The answer of the interface is made here, since
// a world has to be broken in several places for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { close, open } from "./browser.mjs";

const ID = "3FK9Q2XW7T";
const at = (ms) => new Date(Date.parse("2026-01-01T00:00:00Z") + ms).toISOString();
const common = { host: "mta-relay", journey: ID, id: `${ID}-04KMX`, recipients: ["friend@sina.test"] };
const lookups = [
    { name: "sina.test", type: "MX", outcome: "found", answers: ["10 mx1.sina.test", "20 mx.sina.test"], took_ms: 3 },
    { name: "mx1.sina.test", type: "AAAA", outcome: "nodata", cached: true },
];
const first = { began: at(30), wait_ms: 20, dns_ms: 10, connect_ms: 20, address: "192.0.2.1:25", preference: 10, lookups };
const second = { began: at(2010), connect_ms: 5, greeting_ms: 5, tls_ms: 10, envelope_ms: 5, content_ms: 5, reply_ms: 10, address: "192.0.2.2:25", preference: 20 };
const events = [
    { ...common, seq: 1, at: at(10), step: "received", protocol: "smtp", from: "mx.163.test (192.0.2.9)", size: 100, reverse_path: "me@163.test", took_ms: 5 },
    { ...common, seq: 2, at: at(60), step: "tried", protocol: "smtp", to: "mx1.sina.test", reason: "connection refused", took_ms: 30, attempt: first },
    { ...common, seq: 3, at: at(61), step: "deferred", to: "mx1.sina.test", reason: "connection refused", until: at(1000) },
    { ...common, seq: 4, at: at(1010), step: "deferred", to: "mx1.sina.test", reason: "connection refused", until: at(2000) },
    { ...common, seq: 5, at: at(1990), step: "flushed" },
    { ...common, seq: 6, at: at(2010), step: "tried", protocol: "smtp", to: "mx1.sina.test", reason: "connection refused", took_ms: 5, attempt: { ...first, began: at(2000), wait_ms: 0 } },
    { ...common, seq: 7, at: at(2050), step: "relayed", protocol: "smtp", to: "mx.sina.test", reply: "250 2.0.0 OK: queued as K", took_ms: 40, attempt: second },
];

test("attempt_has_a_row_for_each_host_tried_with_its_phases_and_the_answers_of_dns", async () => {
    const page = await open("about:blank");
    const journey = { id: ID, reverse_path: "me@163.test", began: at(0), settled: true, recipients: { "friend@sina.test": { status: "delivered", copies: 1, at: at(2050) } }, events };
    await page.route(`**/api/v1/journeys/${ID}`, (route) => route.fulfill({ json: journey }));
    await page.goto(`${process.env.PAGE_URL ?? "http://127.0.0.1:8025"}/journey/${ID}`);
    const rows = page.locator(".waterfall .wf-row:not(.wf-head)");
    await rows.nth(5).waitFor();
    const words = (await rows.locator(".wf-open").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
    assert.deepEqual(words.map((text) => text.replace(/^\S+ /, "")), [
        "mta-163 → mta-relay SMTP", "mta-relay → mx1.sina.test 1st try, MX 10", "waits 1 more try", "mta-relay is tried now", "mta-relay → mx1.sina.test 3rd try, MX 10", "mta-relay → mta-sina SMTP, then, MX 20",
    ]);
    const bars = (row) => rows.nth(row).locator(".wf-bar").evaluateAll((all) => all.map((one) => one.className.replace("wf-bar ", "")));
    assert.deepEqual(await bars(1), ["queued", "dns", "connect", "failed"]);
    assert.deepEqual(await bars(5), ["connect", "greeting", "tls", "envelope", "content", "reply"]);
    await page.locator(".legend", { hasText: "TLS 10 ms" }).first().waitFor();
    await rows.nth(5).locator(".wf-open").click();
    const drawer = page.locator(".drawer");
    await drawer.getByRole("list", { name: "Phases" }).getByText("greeting 5.0 ms").waitFor();
    await drawer.getByRole("list", { name: "Tried before" }).getByText("connection refused").waitFor();
    await drawer.getByText("192.0.2.2:25").first().waitFor();
    await drawer.getByRole("button", { name: "DNS 2" }).click();
    await drawer.getByText("20 mx.sina.test").waitFor();
    await drawer.getByText("no such record").waitFor();
    await page.keyboard.press("k");
    await page.keyboard.press("k");
    await drawer.getByRole("button", { name: /DNS/ }).waitFor({ state: "detached" });
    await close(page);
});
