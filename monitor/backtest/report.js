"use strict";
for (const box of document.querySelectorAll("[data-budgets]")) {
  const slider = box.querySelector("input");
  const choices = [...box.querySelectorAll("[data-choice]")];
  const rows = [...box.querySelectorAll("tbody tr")];
  const show = () => {
    const chosen = Number(slider.value);
    choices.forEach((choice, number) => { choice.hidden = number !== chosen; });
    rows.forEach((row, number) => { row.classList.toggle("chosen", number === chosen); });
    slider.setAttribute("aria-valuetext", choices[chosen].dataset.choice);
  };
  slider.addEventListener("input", show);
  box.querySelector("[data-slider]").hidden = false;
  show();
}
