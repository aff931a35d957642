// Before the first paint: the theme that was chosen here, if one was; else the system's.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("valvechain-theme");
  } catch {
    // No storage: the system's theme.
  }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
