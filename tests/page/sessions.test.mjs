// Conversations at the doors, also those that brought no letter.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { close, empty, open, sendRaw } from "./browser.mjs";

test("conversation_of_a_client_is_listed_with_what_was_said_and_how_it_ended", async () => {
    await empty();
    const page = await open("/sessions");
    const { id } = await sendRaw("Subject: by a client\r\n\r\nx\r\n");
    await page.getByRole("row", { name: /accepted mail/ }).getByRole("link", { name: id }).waitFor();
    // One that breaks off.
    await new Promise((resolve) => {
        const socket = net.connect(Number(process.env.PAGE_SMTP ?? 1025), "127.0.0.1");
        socket.on("data", () => socket.destroy());
        socket.on("close", resolve);
        socket.write("");
    });
    const broken = page.getByRole("row", { name: /hung up/ }).first();
    await broken.waitFor();
    await page.getByLabel("Outcome").selectOption("accepted");
    await page.getByRole("row", { name: /accepted mail/ }).first().getByRole("link").first().click();
    await page.locator(".drawer .dialogue li.C", { hasText: "MAIL FROM:<me@163.test>" }).waitFor();
    assert.match(page.url(), /\/sessions\/\d+\?outcome=accepted/);
    // The journey has the same conversation in its first step.
    await page.goto(`${new URL(page.url()).origin}/journey/${id}?step=0`);
    await page.locator(".drawer .dialogue li.C", { hasText: "RCPT TO:<friend@sina.test>" }).waitFor();
    await close(page);
});
