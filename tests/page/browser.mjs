// What the tests share: a browser, a page that tells of its errors, and ways to send mail.
import assert from "node:assert/strict";
import net from "node:net";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const url = process.env.PAGE_URL ?? "http://127.0.0.1:8025";
const smtpPort = Number(process.env.PAGE_SMTP ?? 1025);
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** What a page may say: a frame may not run what a hostile letter has in it. */
const EXPECTED = [/^Blocked /, /^Refused /, /^Unsafe attempt to load URL/, /violates the following Content Security Policy/, /Failed to load resource/];

let browser;
before(async () => {
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
});
after(() => browser.close());

/** Opens an address in a window of its own; its errors are in `page.errors`. */
export async function open(path, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1400, height: 880 }, ...options });
    const page = await context.newPage();
    page.errors = [];
    page.on("pageerror", (error) => page.errors.push(String(error)));
    page.on("console", (message) => {
        if (message.type() === "error" && !EXPECTED.some((one) => one.test(message.text()))) page.errors.push(message.text());
    });
    page.setDefaultTimeout(10_000);
    await page.goto(/^(https?|about|file):/.test(path) ? path : url + path);
    return page;
}

/** Closes a window, which must have had no errors. */
export async function close(page) {
    assert.deepEqual(page.errors, []);
    await page.context().close();
}

export async function api(method, path, body) {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await fetch(`${url}/api/v1/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
    const text = await response.text();
    return text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text;
}

/** Sends a letter, and returns its id. */
export async function send(letter) {
    const { to = "friend@sina.test", from = "me@163.test", ...rest } = letter;
    return (await api("POST", "send", { From: { Email: from }, To: [{ Email: to }], Text: "Hi", ...rest })).ID;
}

/** Sends bytes over SMTP, and returns the id in the last reply, or the refusal. */
export function sendRaw(bytes, to = "friend@sina.test") {
    const lines = Buffer.from(bytes).toString("latin1").replace(/\r?\n|\r/g, "\r\n").replace(/^\./gm, "..");
    const steps = ["EHLO test", "MAIL FROM:<me@163.test>", `RCPT TO:<${to}>`, "DATA", `${lines}${lines.endsWith("\r\n") ? "" : "\r\n"}.`, "QUIT"];
    return new Promise((resolve, reject) => {
        const socket = net.connect(smtpPort, "127.0.0.1");
        let input = "";
        let step = 0;
        socket.on("error", reject);
        socket.on("data", (data) => {
            input += data.toString("latin1");
            for (let end; (end = input.indexOf("\r\n")) >= 0; input = input.slice(end + 2)) {
                const line = input.slice(0, end);
                if (!/^\d{3} /.test(line)) continue;
                const isLast = step === steps.length - 1;
                if (/^[45]/.test(line) || isLast) {
                    socket.end("QUIT\r\n");
                    return resolve({ id: /queued as (\w+)/.exec(line)?.[1] ?? null, reply: line });
                }
                socket.write(Buffer.from(`${steps[step++]}\r\n`, "latin1"));
            }
        });
    });
}

export async function empty() {
    await api("DELETE", "messages");
    await api("DELETE", "faults");
}

/** A row of the list by its subject. */
export function row(page, subject) {
    return page.locator("post-list .row", { hasText: subject });
}
