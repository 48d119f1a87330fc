// Columns that are chosen together, and exports that are watched until they end.
for (const set of document.querySelectorAll("[data-columns]")) {
  const boxes = [...set.querySelectorAll("input[type=checkbox]")];
  const usual = new Set((set.dataset.usual || "").split(" "));
  const status = set.querySelector("[role=status]");
  const count = () => (status.textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length}`);
  const wanted = { all: () => true, none: () => false, usual: (box) => usual.has(box.value) };
  for (const button of set.querySelectorAll("[data-choose]"))
    button.addEventListener("click", () => {
      for (const box of boxes) box.checked = wanted[button.dataset.choose](box);
      count();
    });
  set.addEventListener("change", count);
  set.querySelector(".th-choose").hidden = false;
  count();
}

for (const card of document.querySelectorAll("[data-progress]")) {
  const bar = card.querySelector("progress");
  const status = card.querySelector("[role=status]");
  let pause = 1000;
  const look = async () => {
    try {
      const answer = await fetch(card.dataset.progress, { headers: { Accept: "application/json" } });
      if (!answer.ok) return location.reload();
      const found = await answer.json();
      if (!found.open) return location.reload();
      bar.value = found.share;
      document.getElementById("th-state").textContent = found.state;
      const warning = card.querySelector(".th-warn-text");
      if (warning) warning.hidden = found.state !== "waiting";
      if (status.textContent !== found.told) status.textContent = found.told;
      pause = 1000;
    } catch {
      // The server is away for a moment; it is asked less often until it answers.
      pause = Math.min(pause * 2, 30000);
    }
    setTimeout(look, pause);
  };
  setTimeout(look, pause);
}
