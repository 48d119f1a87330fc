// The list of calls: keys, the range's two ways to be chosen, and searches that go on by themselves.
const form = document.querySelector("form.th-query");
const query = form.elements.q;

form.addEventListener("change", (event) => {
  if (event.target.name === "since") form.elements.from.value = form.elements.to.value = "";
});
form.addEventListener("formdata", (event) => {
  // The address names only what is asked for.
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});

const links = () => [...document.querySelectorAll(".th-calls tbody a:has(time)")];
function move(step) {
  const all = links();
  const at = all.indexOf(document.activeElement?.closest("tr")?.querySelector("a:has(time)"));
  all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + step))]?.focus();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    query.focus();
    query.select();
  } else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") document.getElementById("th-help").open ^= true;
  else return;
  event.preventDefault();
});

// A page is answered within a fixed time. Where that was not enough to fill it, the next part is asked for here.
const FULL = 50;
let stopped = false;
async function goOn() {
  const status = document.getElementById("th-searched");
  const next = document.querySelector("#th-pages a[rel=next]");
  if (stopped || !status?.hasAttribute("data-open") || !next || links().length >= FULL) return false;
  const answer = await fetch(next.href).catch(() => null);
  if (stopped) return false;
  if (!answer?.ok || answer.redirected) {
    // What was found stands, and the link to go on with does too.
    status.append(answer?.redirected ? " You are logged out: reload the page to log in." : " The server could not go on; try “Go on”.");
    return false;
  }
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector(".th-calls tbody").append(...found.querySelectorAll(".th-calls tbody tr"));
  const later = found.getElementById("th-searched");
  status.toggleAttribute("data-open", Boolean(later?.hasAttribute("data-open")));
  const older = found.querySelector("#th-pages a[rel=next]");
  if (older) next.replaceWith(older);
  else next.remove();
  status.replaceChildren(...(later ? later.childNodes : []));
  if (!later?.hasAttribute("data-open")) status.textContent = links().length ? "Searched to the end." : "No call fits.";
  return true;
}
async function search() {
  const status = document.getElementById("th-searched");
  if (!status?.hasAttribute("data-open") || new URLSearchParams(location.search).has("after")) return;
  const stop = document.createElement("button");
  stop.type = "button";
  stop.className = "th-button plain";
  stop.textContent = "Stop";
  stop.addEventListener("click", () => {
    stopped = true;
    stop.remove();
  });
  status.after(stop);
  document.getElementById("th-results").setAttribute("aria-busy", "true");
  try {
    while (await goOn());
  } finally {
    stop.remove();
    document.getElementById("th-results").removeAttribute("aria-busy");
  }
}
search();
