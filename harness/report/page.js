"use strict";

// What a reader can do: unfold a trial, sort and filter the table, follow a mark to its trial, read a mark's tip.
const table = document.getElementById("trial-table");
const trials = table ? [...table.querySelectorAll("tbody.trial")] : [];

function unfold(trial, open) {
  trial.querySelector(".detail").hidden = !open;
  trial.querySelector(".unfold").setAttribute("aria-expanded", String(open));
}

function isOpen(trial) {
  return !trial.querySelector(".detail").hidden;
}

// Sort keys: numbers compare as numbers; an empty key (no metric) stays last in both directions.
function compare(one, other) {
  const a = Number(one), b = Number(other);
  return Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other) : a - b;
}

function sortBy(header) {
  const column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  const key = (trial) => trial.rows[0].cells[column].dataset.key;
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  trials.sort((one, other) => {
    const a = key(one), b = key(other);
    if (a === "" || b === "") return (a === "") - (b === "");
    return down ? compare(b, a) : compare(a, b);
  });
  table.append(...trials);
}

function filter() {
  const decision = document.getElementById("by-fate").value;
  const kind = document.getElementById("by-kind").value;
  let shown = 0;
  for (const trial of trials) {
    trial.hidden = Boolean((decision && trial.dataset.fate !== decision) || (kind && !trial.dataset.kinds.split(" + ").includes(kind)));
    shown += trial.hidden ? 0 : 1;
  }
  document.getElementById("shown").value = `${shown} of ${trials.length} trials`;
}

// A link to a trial unfolds it, even where a filter hid it.
function follow() {
  const trial = trials.find((each) => `#${each.id}` === location.hash);
  if (!trial) return;
  trial.hidden = false;
  unfold(trial, true);
  trial.scrollIntoView({ block: "start" });
  trial.querySelector(".unfold").focus({ preventScroll: true });
}

if (table) {
  for (const header of table.tHead.rows[0].cells) header.firstElementChild.addEventListener("click", () => sortBy(header));
  for (const select of document.querySelectorAll("#by-fate, #by-kind")) select.addEventListener("change", filter);
  for (const trial of trials) {
    trial.rows[0].addEventListener("click", () => {
      if (getSelection().isCollapsed) unfold(trial, !isOpen(trial));
    });
  }
  // A second click on the same mark changes no hash, so the click itself is followed too.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#trial-']");
    if (link && link.getAttribute("href") === location.hash) follow();
  });
  addEventListener("hashchange", follow);
  follow();
}

const tip = document.getElementById("tip");

function showTip(event) {
  const mark = event.target.closest("[data-tip]");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.dataset.tip;
  const box = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const left = Math.min(box.right + 8, document.documentElement.clientWidth - own.width - 8);
  const above = box.top - own.height - 8;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 0 ? above : box.bottom + 8}px`;
}

document.addEventListener("pointerover", showTip);
document.addEventListener("focusin", showTip);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hidden = true;
});
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true, capture: true });
