// What a letter would load from elsewhere, if it could: counted without loading it, in a document that is shown nowhere.

/** @typedef {{ images: number, trackers: number, others: number, urls: string[] }} Remote */

const ELSEWHERE = /^\s*(https?:|ftp:|wss?:)?\/\//i;

/** @param {string} html @returns {Remote} */
export function remoteContent(html) {
  // Under other names, so that the browser does not report styles which the page's policy would not allow.
  const inert = html.replace(/<(\/?)style\b/gi, "<$1x-style").replace(/([\s"'/])style(?=\s*=)/gi, "$1data-style");
  const page = new DOMParser().parseFromString(inert, "text/html");
  /** @type {Remote} */
  const found = { images: 0, trackers: 0, others: 0, urls: [] };
  /** @param {string | null} url @param {"images" | "trackers" | "others"} kind */
  const add = (url, kind) => {
    if (!url || !ELSEWHERE.test(url)) return;
    found[kind] += 1;
    found.urls.push(url.trim());
  };
  for (const image of page.querySelectorAll("img, image, input[type=image]")) {
    const url = image.getAttribute("src") ?? image.getAttribute("href") ?? image.getAttribute("xlink:href");
    add(url, isTracker(image) ? "trackers" : "images");
    for (const one of (image.getAttribute("srcset") ?? "").split(",")) add(one.trim().split(/\s/)[0], "images");
  }
  for (const one of page.querySelectorAll("[background]")) add(one.getAttribute("background"), "images");
  for (const one of page.querySelectorAll("script, iframe, frame, embed, audio, video, source, track, object, link, use")) {
    add(one.getAttribute("src") ?? one.getAttribute("data") ?? one.getAttribute("href"), "others");
    add(one.getAttribute("poster"), "images");
  }
  const styles = [...page.querySelectorAll("x-style")].map((style) => style.textContent ?? "");
  for (const one of page.querySelectorAll("[data-style]")) styles.push(one.getAttribute("data-style") ?? "");
  for (const [, url] of styles.join("\n").matchAll(/(?:url\(\s*["']?|@import\s+["'])([^"')\s]+)/gi)) add(url, "images");
  return found;
}

/** A picture that nobody can see tells its host who reads. @param {Element} image */
function isTracker(image) {
  const small = (/** @type {string} */ name) => /^[01](px)?$/.test(image.getAttribute(name) ?? "");
  return (small("width") && small("height")) || /display:\s*none|(^|[;\s])(width|height):\s*[01]px/i.test(image.getAttribute("data-style") ?? "");
}
