"use strict";
/* What opens over a page closes by Escape, from wherever the keyboard is, and menus by a click beside them. */
(() => {
  const OPEN = "details.th-menu[open]";

  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    const around = event.target instanceof Element && event.target.closest("details.th-more[open], details.th-menu[open]");
    const found = around || [...document.querySelectorAll(OPEN)].pop();
    if (!found) return;
    found.open = false;
    found.querySelector("summary").focus();
  });

  /* Not those with fields of a form around them: whoever fills that in goes to and fro. */
  addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(`${OPEN}:not(.th-more)`)) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
})();
