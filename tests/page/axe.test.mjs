// axe finds nothing, in no view, in light and dark, on a desk and on a phone.
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { api, close, empty, open, row, send } from "./browser.mjs";

const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

test("axe_finds_nothing", async () => {
    await empty();
    await api("POST", "faults", { kind: "greylist", host: "mta-sina", wait: "1h" });
    const waiting = await send({ Subject: "waits" });
    const id = await send({ Subject: "with everything", to: "nobody@163.test", HTML: "<h1>x</h1><img src='//a.test/b.png'>", Tags: ["tag"], Attachments: [{ Filename: "a.png", Content: "iVBORw0KGgo=" }] });
    const views = ["/", "/mail?mailbox=nobody@163.test&folder=Sent", `/mail/${id}`, `/mail/${id}/thread`, `/mail/${id}/check`, `/mail/${id}/text`, `/mail/${id}/headers`, `/mail/${id}/parts`, `/mail/${id}/source`, `/mail/${id}/links`, `/journey/${waiting}?step=2`, `/journey/${id}?view=lanes`,
        "/world", "/world/mta-sina", "/queues", "/sessions", "/faults", "/log", "/learn", `/learn/2?letter=${id}`, "/compose", `/compose?reply=${id}`, "/mail/0000000000", "/mail?q=nothing-like-it"];
    const found = [];
    for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { colorScheme: "light", viewport: { width: 390, height: 844 } }]) {
        const page = await open("/", { ...options, bypassCSP: true });
        const home = new URL(page.url()).origin;
        await row(page, "waits").getByRole("img", { name: "waits" }).waitFor();
        for (const view of views) {
            await page.goto(home + view);
            await page.waitForTimeout(350);
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], iframes: false }));
            for (const { id, nodes } of violations) found.push(`${options.colorScheme} ${options.viewport ? "phone " : ""}${view.replace(/[A-Z0-9]{10}/, "ID")}: ${id}: ${nodes.slice(0, 2).map((node) => `${node.html.slice(0, 120)} ${node.any?.[0]?.message ?? node.all?.[0]?.message ?? ""}`).join(" | ")}`);
        }
        await close(page);
    }
    assert.deepEqual(found, []);
});
