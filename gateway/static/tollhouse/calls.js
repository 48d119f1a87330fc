// The filters of the list of calls: a chosen moment counts, and the address names only what is asked for.
const filters = document.querySelector("form.th-filters");
filters.addEventListener("change", (event) => {
  if (["since", "until"].includes(event.target.name)) filters.elements.period.value = "custom";
});
filters.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});
