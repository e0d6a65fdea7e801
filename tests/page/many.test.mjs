// 100,000 messages: the first paint, and scrolling. The answers are made here, so that the page alone is measured.
import assert from "node:assert/strict";
import { test } from "node:test";
import { close, open } from "./browser.mjs";

const TOTAL = 100_000;
const ID = (at) => `M${String(at).padStart(9, "0")}`;

function answer(url) {
    const start = Number(url.searchParams.get("start") ?? 0), limit = Number(url.searchParams.get("limit") ?? 50);
    const messages = Array.from({ length: Math.min(limit, TOTAL - start) }, (_, at) => ({
        ID: ID(start + at), MessageID: "", Read: at % 3 === 0, From: { Name: "", Address: "app@shop.example" }, To: [], Cc: [], Bcc: [], ReplyTo: [], Subject: `message ${start + at}`, Created: new Date(1.7e12 - at * 1000),
        Tags: at % 7 ? [] : ["tag"], Size: 1000, Attachments: 0, Snippet: "the beginning of it", Username: "", Envelope: { From: "", To: ["ann@customer.example"] },
    }));
    return { total: TOTAL, unread: 9, count: messages.length, messages_count: TOTAL, messages_unread: 9, start, tags: [], messages };
}

test("list_of_100_000_messages_paints_and_scrolls_fluently", async () => {
    const page = await open("about:blank");
    await page.route("**/api/v1/messages?*", (route) => route.fulfill({ json: answer(new URL(route.request().url())) }));
    await page.route("**/api/v1/journeys?ids=*", (route) => route.fulfill({ json: { total: 0, journeys: [] } }));
    await page.addInitScript(() => {
        const look = () => (document.querySelector("post-list .row .subject") ? (window.shownAt = performance.now()) : requestAnimationFrame(look));
        look();
    });
    await page.goto(`${process.env.PAGE_URL ?? "http://127.0.0.1:8025"}/`);
    await page.getByText("message 3", { exact: true }).waitFor();
    const cpu = await page.context().newCDPSession(page);
    // Time of the page's own thread, whatever else this machine does.
    await cpu.send("Performance.enable", { timeDomain: "threadTicks" });
    const worked = async () => (await cpu.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value * 1000;
    const began = await worked();
    const painted = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
    const shown = await page.evaluate(() => window.shownAt);
    const frames = await page.evaluate(async () => {
        const rows = document.querySelector("post-list .rows"), times = [];
        let last = performance.now();
        for (let step = 0; step < 120; step++) {
            rows.scrollTop += step < 60 ? 160 : 60_000;
            await new Promise(requestAnimationFrame);
            times.push(performance.now() - last);
            last = performance.now();
        }
        return times;
    });
    const each = ((await worked()) - began) / frames.length;
    await page.evaluate(() => document.querySelector("post-list .rows").scrollTo(0, 1e9));
    await page.getByText(`message ${TOTAL - 1}`, { exact: true }).waitFor();
    assert.ok((await page.locator("post-list .row").count()) < 60, "rows out of sight are not in the document");
    const slow = frames.filter((ms) => ms > 50).length;
    console.log(`first paint after ${Math.round(painted)} ms, with the messages after ${Math.round(shown)} ms; a frame of scrolling took ${each.toFixed(1)} ms of work, ${slow} of ${frames.length} came after more than 50 ms`);
    assert.ok(each < 25, `${each} ms of work for a frame`);
    await close(page);
});
