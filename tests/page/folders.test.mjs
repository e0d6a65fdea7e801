// Folders of a mailbox: listed, filled by moving and by importing files; and the thread of a letter.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, close, empty, open, row, send, sendRaw } from "./browser.mjs";

const EML = Buffer.from("From: far@away.example\r\nTo: friend@sina.test\r\nSubject: from a file\r\n\r\nHi\r\n");
const folders = (page) => page.getByRole("list", { name: "Folders of friend@sina.test" });

test("message_moved_to_a_folder_is_listed_there_and_one_from_a_file_beside_it", async () => {
    await empty();
    await send({ Subject: "stays here" });
    await send({ Subject: "goes away" });
    const page = await open("/"), other = await open("/mail?mailbox=friend@sina.test&folder=INBOX");
    await row(other, "goes away").waitFor();
    await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: /friend@sina.test/ }).click();
    await folders(page).getByRole("link", { name: /^Sent/ }).waitFor();
    await folders(page).getByRole("link", { name: /^INBOX/ }).click();
    await page.waitForURL(/folder=INBOX/);
    await row(page, "goes away").getByRole("checkbox").check({ force: true });
    await page.getByRole("button", { name: "Move" }).first().click();
    await page.getByLabel(/^To the folder/).fill("Work/2026");
    await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
    await row(page, "goes away").waitFor({ state: "detached" });
    await row(other, "goes away").waitFor({ state: "detached" });
    await row(page, "stays here").waitFor();
    await folders(page).getByRole("link", { name: /^2026/ }).click();
    await row(page, "goes away").waitFor();
    assert.match(page.url(), /folder=Work%2F2026/);

    await page.locator("input[type=file]").setInputFiles({ name: "letter.eml", mimeType: "message/rfc822", buffer: EML });
    await row(page, "from a file").waitFor();
    // Dropped on the list, too.
    const transfer = await page.evaluateHandle((text) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([text.replace("from a file", "dropped")], "other.eml"));
        return transfer;
    }, EML.toString());
    await page.locator("post-list .rows").dispatchEvent("drop", { dataTransfer: transfer });
    await row(page, "dropped").waitFor();
    const found = await api("GET", "messages?mailbox=friend@sina.test&folder=Work/2026");
    assert.deepEqual(found.messages.map((one) => one.Subject), ["dropped", "from a file", "goes away"]);
    assert.equal((await api("GET", "search?query=file&mailbox=friend@sina.test&folder=INBOX")).messages_count, 0);

    // To delete here leaves what is elsewhere.
    await row(page, "goes away").locator("a.open").click();
    await page.locator(".letter").getByRole("button", { name: "Delete" }).click();
    await row(page, "goes away").waitFor({ state: "detached" });
    await row(other, "stays here").waitFor();
    await close(page);
    await close(other);
});

test("thread_of_a_letter_has_what_it_answers_and_what_answers_it", async () => {
    await empty();
    const letter = (header) => sendRaw(`From: me@163.test\r\n${header}\r\n\r\nx\r\n`);
    const { id: first } = await letter("Message-ID: <1@163.test>\r\nSubject: A question");
    await letter("Message-ID: <2@163.test>\r\nIn-Reply-To: <1@163.test>\r\nSubject: Re: A question");
    await letter("Subject: something else");
    const page = await open(`/mail/${first}`);
    await page.getByRole("link", { name: "Thread 2" }).click();
    const thread = page.getByRole("list", { name: /^Thread/ });
    await thread.getByRole("link", { name: /Re: A question/ }).waitFor();
    assert.equal(await thread.getByRole("listitem").count(), 2);
    // A reply that arrives shows itself.
    await letter("References: <0@elsewhere.test> <2@163.test>\r\nSubject: Antw: A question");
    await thread.getByRole("link", { name: /Antw: A question/ }).click();
    await page.locator(".letter h1", { hasText: "Antw: A question" }).waitFor();
    await page.getByRole("link", { name: "Thread 3" }).waitFor();
    await close(page);
});
