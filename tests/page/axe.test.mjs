// axe finds nothing, in no view, in light and dark, on a desk and on a phone.
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { api, close, empty, open, row, send } from "./browser.mjs";

const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const ALL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

test("axe_finds_nothing", async () => {
    await empty();
    await api("POST", "faults", { kind: "greylist", host: "mta-sina", wait: "1h" });
    const waiting = await send({ Subject: "waits" });
    const id = await send({ Subject: "with everything", to: "nobody@163.test", HTML: "<h1>x</h1><img src='//a.test/b.png'>", Tags: ["tag"], Attachments: [{ Filename: "a.png", Content: "iVBORw0KGgo=" }] });
    const views = ["/", "/mail?mailbox=nobody@163.test&folder=Sent", `/mail/${id}`, `/mail/${id}/thread`, `/mail/${id}/check`, `/mail/${id}/text`, `/mail/${id}/headers`, `/mail/${id}/parts`, `/mail/${id}/source`, `/mail/${id}/links`, `/journey/${waiting}?step=2`, `/journey/${id}?view=lanes`,
        "/world", "/world/mta-sina", "/queues", "/sessions", "/faults", "/log", "/learn", `/learn/2?letter=${id}`, "/compose", `/compose?reply=${id}`, "/mail/0000000000", "/mail?q=nothing-like-it"];
    const found = [];
    const page = await open("/", { bypassCSP: true });
    const home = new URL(page.url()).origin;
    await row(page, "waits").getByRole("img", { name: "waits" }).waitFor();
    for (const view of views) {
        await page.goto(home + view);
        await page.waitForTimeout(350);
        await page.evaluate(axe);
        const look = async (how, runOnly) => {
            const { violations } = await page.evaluate((runOnly) => window.axe.run(document, { runOnly, iframes: false, resultTypes: ["violations"] }), runOnly);
            for (const { id, nodes } of violations) found.push(`${how} ${view.replace(/[A-Z0-9]{10}/, "ID")}: ${id}: ${nodes.slice(0, 2).map((node) => `${node.html.slice(0, 120)} ${node.any?.[0]?.message ?? node.all?.[0]?.message ?? ""}`).join(" | ")}`);
        };
        await page.emulateMedia({ colorScheme: "light" });
        await look("light", ALL);
        // Colours are all that the dark scheme changes.
        await page.emulateMedia({ colorScheme: "dark" });
        await look("dark", ["color-contrast", "link-in-text-block"]);
        await page.emulateMedia({ colorScheme: "light" });
        await page.setViewportSize({ width: 390, height: 844 });
        await look("phone", ALL);
        await page.setViewportSize({ width: 1400, height: 880 });
    }
    await close(page);
    assert.deepEqual(found, []);
});
