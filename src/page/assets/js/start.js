// Loads the page after its first frame, which shows at once what it is; a tab in the background has no frames.
let isStarted = false;

function start() {
  if (isStarted) return;
  isStarted = true;
  const names = /** @type {string[]} */ (JSON.parse(document.getElementById("modules")?.textContent || "[]"));
  for (const href of names) document.head.append(Object.assign(document.createElement("link"), { rel: "modulepreload", href }));
  import("./app.js");
}

requestAnimationFrame(() => setTimeout(start));
setTimeout(start, 100);
