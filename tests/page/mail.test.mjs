// Search, tags, deletion, also while another window and an IMAP client watch; keys alone.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { api, close, empty, open, row, send } from "./browser.mjs";

async function three() {
    await empty();
    await send({ Subject: "first of all", to: "ann@customer.example" });
    await send({ Subject: "second of all", Tags: ["two words"] });
    await send({ Subject: "third of all" });
}

/** An IMAP client in IDLE (RFC 2177) at an INBOX. */
async function watch(user) {
    const { imap } = await api("GET", "ports");
    const socket = net.connect(Number(imap.split(":").at(-1)), "127.0.0.1").setEncoding("utf8");
    let seen = "";
    socket.on("data", (text) => (seen += text));
    const until = async (wanted) => {
        for (let tries = 0; tries < 200 && !wanted.test(seen); tries++) await sleep(50);
        assert.match(seen, wanted);
    };
    for (const [command, reply] of [[`a LOGIN ${user} postroad`, /^a OK/m], ["b SELECT INBOX", /^b OK/m], ["c IDLE", /^\+/m]]) {
        await until(/^\* OK/);
        socket.write(`${command}\r\n`);
        await until(reply);
    }
    return { until, end: () => socket.destroy() };
}

test("search_tag_and_delete_show_in_another_window_and_over_imap", async () => {
    await three();
    const watcher = await watch("ann@customer.example");
    await watcher.until(/^\* 1 EXISTS/m);
    const page = await open("/"), other = await open("/");
    await row(other, "third of all").waitFor();
    const search = page.getByRole("combobox", { name: /Search/ });
    await search.fill("sub");
    await page.getByRole("option", { name: /subject:/ }).click();
    assert.equal(await search.inputValue(), "subject:");
    await search.fill("subject:second");
    await search.press("Enter");
    await page.waitForURL(/q=subject%3Asecond/);
    await row(page, "second of all").waitFor();
    await row(page, "first of all").waitFor({ state: "detached" });
    await search.fill("subjct:second");
    await page.getByText("There is no search word “subjct:”").waitFor();
    await page.goto(new URL("/", page.url()).href);

    await row(page, "first of all").locator("a.open").click();
    await page.locator(".letter").getByRole("button", { name: "Tags" }).click();
    await page.getByLabel("Tags, with commas").fill("invoice, urgent");
    await page.getByRole("button", { name: "Set tags" }).click();
    await row(other, "first of all").locator(".tag", { hasText: "urgent" }).waitFor();
    await watcher.until(/^\* 1 FETCH .*urgent/m);
    // The new tags move the others.
    await other.locator("post-mailboxes").getByText("urgent").waitFor();
    await other.locator("post-mailboxes").getByText("two words").click();
    await row(other, "second of all").waitFor();
    await row(other, "first of all").waitFor({ state: "detached" });
    await other.locator("post-mailboxes").getByText("All mail").click();

    await page.locator(".letter").getByRole("button", { name: "Delete" }).click();
    await row(other, "first of all").waitFor({ state: "detached" });
    await watcher.until(/^\* 1 EXPUNGE/m);
    watcher.end();
    await page.getByRole("button", { name: "Empty everything" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    assert.equal((await api("GET", "messages")).total, 2);
    await page.getByRole("button", { name: "Empty everything" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete everything" }).click();
    await other.getByText("No mail yet").waitFor();
    await close(page);
    await close(other);
});

test("keys_alone_read_select_and_delete", async () => {
    await three();
    const page = await open("/");
    await row(page, "first of all").waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.locator(".letter h1", { hasText: "second of all" }).waitFor();
    await page.keyboard.press("o");
    await page.waitForURL(/journey/);
    await page.locator(".waterfall").waitFor();
    await page.keyboard.press("j");
    await page.locator(".drawer").waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".drawer").waitFor({ state: "detached" });
    for (const [key, view] of [["w", "world"], ["q", "queues"], ["f", "faults"], ["l", "log"], ["m", "mail"]]) {
        await page.keyboard.press("g");
        await page.keyboard.press(key);
        await page.waitForURL(new RegExp(`/${view}$`));
    }
    await row(page, "third of all").waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("search, or run a command").waitFor();
    await page.keyboard.press("Escape");
    for (const key of ["j", "x", "j", "x", "#"]) await page.keyboard.press(key);
    await page.getByRole("dialog", { name: "Delete 2 messages?" }).waitFor();
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
    await row(page, "third of all").waitFor({ state: "detached" });
    await row(page, "first of all").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("mta-relay");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL(/world\/mta-relay/);
    await close(page);
});

test("check_of_a_letter_names_what_mail_clients_do_not_support", async () => {
    await empty();
    const id = await send({ Subject: "grid", HTML: "<style>p { display: grid }</style><p>x</p><video src='a.mp4'></video>" });
    const page = await open(`/mail/${id}`);
    await page.getByRole("link", { name: "Check" }).click();
    const warning = page.locator(".check li", { hasText: "<video>" });
    await warning.getByText(/Outlook|Gmail/).first().waitFor();
    await page.getByText(/\d+(\.\d)? % of what this letter uses is shown as it is meant/).waitFor();
    const all = await page.locator(".check li").count();
    await page.getByLabel("Clients").selectOption({ index: 1 });
    assert.ok((await page.locator(".check li").count()) <= all);
    // A letter without HTML has nothing to check.
    const text = await send({ Subject: "text alone" });
    await page.goto(new URL(`/mail/${text}`, page.url()).href);
    await page.getByRole("link", { name: "Source" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Check" }).count(), 0);
    await close(page);
});
