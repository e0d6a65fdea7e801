// A proxy before the page: below another path, and with a connection that breaks.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { test } from "node:test";
import { close, empty, open, row, send, url } from "./browser.mjs";

const target = new URL(url);

test("page_below_a_path_of_a_proxy_works", async () => {
    await empty();
    const proxy = http.createServer((request, response) => {
        if (!request.url.startsWith("/tools/post/")) {
            response.writeHead(404).end();
            return;
        }
        const inner = http.request({ host: target.hostname, port: target.port, method: request.method, path: request.url.slice("/tools/post".length), headers: request.headers }, (answer) => {
            response.writeHead(answer.statusCode, answer.headers);
            answer.pipe(response);
        });
        request.pipe(inner);
        inner.on("error", () => response.destroy());
        response.on("close", () => inner.destroy());
    });
    await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const home = `http://127.0.0.1:${proxy.address().port}/tools/post/`;
    const page = await open(home);
    page.on("response", (response) => response.status() >= 400 && page.errors.push(`${response.status()} ${response.url()}`));
    await page.getByText("No mail yet").waitFor();
    const id = await send({ Subject: "through a proxy", HTML: "<p>whole</p>" });
    await row(page, "through a proxy").locator("a.open").click();
    await page.frameLocator("iframe.frame-sheet").getByText("whole").waitFor();
    assert.equal(page.url(), `${home}mail/${id}`);
    await page.goto(`${home}mail/${id}/headers`);
    await page.locator(".received li").first().waitFor().catch(() => {});
    await page.getByRole("link", { name: "Journey ›" }).click();
    await page.locator(".waterfall").waitFor();
    assert.equal(page.url(), `${home}journey/${id}`);
    await page.goBack();
    await page.locator(".letter .fields").waitFor();
    await close(page);
    proxy.closeAllConnections();
    proxy.close();
});

test("lost_connection_is_said_and_made_good", async () => {
    await empty();
    const sockets = new Set();
    const relay = net.createServer((socket) => {
        const inner = net.connect(Number(target.port), target.hostname);
        for (const [one, other] of [[socket, inner], [inner, socket]]) {
            sockets.add(one);
            one.pipe(other);
            one.on("error", () => other.destroy());
            one.on("close", () => { sockets.delete(one); other.destroy(); });
        }
    });
    const listen = (port) => new Promise((resolve) => relay.listen(port, "127.0.0.1", resolve));
    await listen(0);
    const { port } = relay.address();
    const page = await open(`http://127.0.0.1:${port}/`);
    await page.locator(".connection.live, .connection.polling").waitFor();
    await page.getByText("No mail yet").waitFor();
    relay.close();
    sockets.forEach((socket) => socket.destroy());
    await page.getByRole("alert").filter({ hasText: /connection is lost.*Trying again/s }).waitFor();
    await send({ Subject: "sent meanwhile" });
    await listen(port);
    await row(page, "sent meanwhile").waitFor();
    await page.getByRole("alert").waitFor({ state: "detached" });
    await page.locator(".connection.live, .connection.polling").waitFor();
    await close(page);
    relay.close();
    sockets.forEach((socket) => socket.destroy());
});
