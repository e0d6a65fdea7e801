// Before the first paint: the theme that the reader chose, or else the system's.
{
  let chosen = null;
  try { chosen = localStorage.getItem("postroad.theme"); } catch { /* storage is switched off */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
