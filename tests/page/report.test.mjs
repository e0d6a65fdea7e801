// The report of a simulation: as a file, without any server, and by `postroad view`.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { close, open } from "./browser.mjs";

const postroad = process.env.PAGE_POSTROAD ?? "target/debug/postroad";
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "report-"));
const html = path.join(folder, "outage.html"), json = path.join(folder, "outage.json");

before(() => {
    const options = { maxBuffer: 1 << 28 };
    fs.writeFileSync(json, execFileSync(postroad, ["simulate", "config/scenarios/outage.toml", "--json", "--html", html], options));
});
after(() => fs.rmSync(folder, { recursive: true }));

/** What the report shows, wherever it is. */
async function look(page) {
    const report = JSON.parse(fs.readFileSync(json, "utf8"));
    await page.getByRole("heading", { name: `${report.scenario}, seed 1` }).waitFor();
    await page.getByRole("row", { name: `copies delivered ${report.outcomes.delivered}` }).waitFor();
    assert.equal(await page.locator(".plot").count(), 4);
    const [worst] = report.worst;
    await page.getByRole("link", { name: worst.id }).first().click();
    await page.locator(".waterfall .wf-wait").first().waitFor();
    // The fault that made it late, and names of hosts as in the world file.
    await page.locator(".fault-line", { hasText: "is why it was late" }).waitFor();
    const [first] = worst.events;
    await page.locator(".wf-row.hop", { hasText: `→ ${first.host}` }).first().locator(".wf-open").click();
    await page.locator(".drawer h2", { hasText: first.host }).waitFor();
    await page.getByRole("button", { name: "Lanes" }).click();
    await page.locator(".lanes svg").waitFor();
    assert.match(page.url(), new RegExp(`#/journey/${worst.id}\\?step=0&view=lanes$`));
    assert.equal(await page.getByRole("button", { name: "Try now" }).count(), 0);
    await page.goBack();
    await page.getByRole("heading", { name: "Slowest messages" }).waitFor();
}

test("report_in_a_file_shows_the_journeys_without_a_server", async () => {
    const page = await open("about:blank", { offline: true });
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(`file://${html}`);
    await look(page);
    assert.deepEqual(asked.filter((url) => !/^(file|data|blob):/.test(url)), []);
    await close(page);
});

test("report_has_nothing_that_axe_finds", async () => {
    const found = [];
    for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { viewport: { width: 390, height: 844 } }]) {
        const page = await open(`file://${html}`, { ...options, bypassCSP: true });
        const { id } = JSON.parse(fs.readFileSync(json, "utf8")).worst[0];
        for (const view of ["#/", `#/journey/${id}?step=1`]) {
            await page.goto(`file://${html}${view}`);
            await page.waitForTimeout(300);
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
            for (const { id, nodes } of violations) found.push(`${JSON.stringify(options)} ${view}: ${id}: ${nodes[0].html.slice(0, 160)}`);
        }
        await close(page);
    }
    assert.deepEqual(found, []);
});

test("view_serves_the_report_until_it_is_ended", async () => {
    const child = spawn(postroad, ["view", json], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    try {
        const address = await new Promise((resolve) => child.stdout.on("data", (data) => resolve(/http:\/\/127\.0\.0\.1:\d+\//.exec(String(data))?.[0])));
        const page = await open(address);
        await look(page);
        await close(page);
    } finally {
        child.kill("SIGTERM");
    }
    assert.equal(await ended, 0);
    assert.throws(() => execFileSync(postroad, ["view", html], { stdio: "pipe" }), /is no report/);
});
