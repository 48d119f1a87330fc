// Buttons that copy a text; where the browser does not let them, the text is selected instead.
for (const button of document.querySelectorAll("[data-copy]"))
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      source.focus();
      button.textContent = "Selected: press Ctrl+C";
    }
  });
