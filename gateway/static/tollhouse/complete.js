// Completes the query: names of fields, and the values that a field is known to have. A combobox after the ARIA pattern.
(() => {
  const form = document.querySelector("form.th-query");
  const input = form.elements.q;
  const fields = JSON.parse(document.getElementById("th-fields").textContent);
  const list = document.createElement("ul");
  list.id = "th-options";
  list.className = "th-options";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  list.hidden = true;
  input.parentElement.append(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");

  let chosen = -1;
  let asked = 0;

  // The word at the cursor: where what is to be completed begins, its field (empty: none yet), and its text.
  function word() {
    const end = input.selectionStart;
    const head = input.value.slice(0, end);
    if ((head.match(/"/g) ?? []).length % 2) return null;
    const begin = head.search(/\S*$/);
    const found = head.slice(begin).match(/^(-?)([a-z_]+):(?:[^,]*,)*([^,]*)$/i);
    if (found) return { from: end - found[3].length, end, field: found[2].toLowerCase(), text: found[3] };
    const name = head.slice(begin).match(/^(-?)([a-z_]+)$/i);
    return name && { from: begin + name[1].length, end, field: "", text: name[2].toLowerCase() };
  }

  function hide() {
    list.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(number) {
    const options = [...list.children];
    chosen = (number + options.length) % options.length;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    options[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[chosen].id);
  }

  function take(place, value) {
    const after = input.value.slice(place.end);
    const text = place.field ? (/^[^\s",*\\]+$/.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`) : `${value}:`;
    input.value = input.value.slice(0, place.from) + text + after;
    input.setSelectionRange(place.from + text.length, place.from + text.length);
    hide();
    if (!place.field) suggest();
  }

  function show(place, options) {
    if (!options.length) return hide();
    list.replaceChildren(
      ...options.map(([value, help], number) => {
        const option = document.createElement("li");
        option.id = `th-option-${number}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", "false");
        const name = document.createElement("code");
        name.textContent = value;
        option.append(name, ` ${help}`);
        option.addEventListener("mousedown", (event) => {
          event.preventDefault();
          take(place, value);
        });
        option.take = () => take(place, value);
        return option;
      }),
    );
    chosen = -1;
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  }

  async function suggest() {
    const place = word();
    const mine = ++asked;
    if (!place) return hide();
    if (!place.field) {
      const names = Object.entries(fields).filter(([name]) => place.text && name.startsWith(place.text) && name !== place.text);
      return show(place, names);
    }
    try {
      const answer = await fetch(`${form.dataset.suggest}?${new URLSearchParams({ field: place.field, start: place.text })}`);
      const { values } = answer.ok ? await answer.json() : { values: [] };
      // Answers to what was typed earlier come too late.
      if (mine === asked) show(place, values.filter((value) => value !== place.text).map((value) => [value, ""]));
    } catch {
      hide();
    }
  }

  input.addEventListener("input", suggest);
  input.addEventListener("blur", hide);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) hide();
    else if (list.hidden) return;
    else if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if ((event.key === "Enter" && chosen >= 0) || event.key === "Tab") list.children[Math.max(chosen, 0)].take();
    else return;
    event.preventDefault();
  });
})();
