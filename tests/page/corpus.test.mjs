// Letters of all shapes can be opened: our own odd ones, and those of the folder PAGE_CORPUS, if there is one.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { close, empty, open, row, sendRaw } from "./browser.mjs";

/** Names and subjects that must be right, however they were written. */
const ODD = [
    { name: "raw octets", raw: Buffer.concat([Buffer.from("From: J\xfcrgen M\xfcller <j@x.test>\r\nSubject: Gr\xfc\xdfe\r\n\r\nh\xe4\r\n", "latin1")]), subject: "Grüße", from: "Jürgen Müller" },
    { name: "raw UTF-8", raw: "From: 李雷 <l@x.test>\r\nSubject: 来自驿路的问候\r\n\r\n朋友你好\r\n", subject: "来自驿路的问候", from: "李雷" },
    { name: "encoded words", raw: "From: =?iso-8859-1?q?Andr=E9?= <a@x.test>\r\nSubject: =?utf-8?b?4pyT?= =?utf-8?q?_done?=\r\n\r\nx\r\n", subject: "✓ done", from: "André" },
    { name: "no header", raw: "\r\nonly a body\r\n" },
    { name: "nothing", raw: "\r\n" },
    { name: "a boundary that never ends", raw: "Subject: endless\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n", subject: "endless" },
    { name: "a name in pieces", raw: "Subject: pieces\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename*0*=utf-8''gr%C3%BC; filename*1*=n.txt\r\n\r\nx\r\n--b--\r\n", subject: "pieces", text: "grün.txt" },
    { name: "broken encodings", raw: "Subject: broken\r\nContent-Type: text/plain; charset=no-such\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%%=\r\n", subject: "broken" },
];

test("odd_letters_have_their_names_and_subjects", async () => {
    await empty();
    const page = await open("/");
    const home = new URL(page.url()).origin;
    for (const { name, raw, subject, from, text } of ODD) {
        const { id, reply } = await sendRaw(raw);
        assert.ok(id, `${name}: ${reply}`);
        await page.goto(`${home}/mail/${id}/headers`);
        await page.locator(".letter h1", { hasText: subject ?? "no subject" }).waitFor();
        if (from) await page.locator(".people-line", { hasText: from }).waitFor();
        if (subject) await page.locator(".fields", { hasText: subject }).waitFor();
        await page.goto(`${home}/mail/${id}/parts`);
        if (text) await page.locator(".tree", { hasText: text }).waitFor();
    }
    await row(page, "Grüße").getByText("Jürgen Müller").waitFor();
    await close(page);
});

const corpus = process.env.PAGE_CORPUS ?? "";
const files = fs.existsSync(corpus) ? fs.readdirSync(corpus, { recursive: true }).map((name) => path.join(corpus, String(name))).filter((name) => name.endsWith(".eml")).sort() : [];

test("every_letter_of_the_corpus_opens", { skip: !files.length && "there is no corpus here" }, async () => {
    await empty();
    const page = await open("/");
    const home = new URL(page.url()).origin;
    let refused = 0;
    for (const file of files) {
        const { id } = await sendRaw(fs.readFileSync(file));
        if (!id) {
            refused += 1;
            continue;
        }
        await page.evaluate((path) => {
            history.pushState(null, "", path);
            dispatchEvent(new PopStateEvent("popstate"));
        }, `/mail/${id}`);
        await page.locator(`.letter .tabs a[href*="${id}"]`).first().waitFor();
        // Without waiting for each to hold still, as a user's click does: that would be half of the time of this file.
        await page.locator(".letter .tabs a", { hasText: "Parts" }).dispatchEvent("click");
        await page.locator(".tree > li").waitFor();
        await page.locator(".tree summary").evaluateAll((all) => all.slice(0, 8).forEach((one) => one.click()));
        await page.locator(".letter .tabs a", { hasText: "Headers" }).dispatchEvent("click");
        await page.locator(".fields, .desk").first().waitFor();
        assert.deepEqual(page.errors, [], file);
    }
    assert.ok(refused < files.length / 4, `${refused} of ${files.length} were refused`);
    await close(page);
});
