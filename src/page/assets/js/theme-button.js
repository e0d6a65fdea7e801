// Light or dark, as the reader chooses.

export function toggleTheme() {
  const { dataset } = document.documentElement;
  const isDark = dataset.theme ? dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  dataset.theme = isDark ? "light" : "dark";
  try { localStorage.setItem("postroad.theme", dataset.theme); } catch { /* it holds until the page is closed */ }
}
