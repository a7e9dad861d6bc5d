"use strict";

// A link to a cell's lineage, or to a file, opens what it leads to.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView({ block: "start" });
  }
}
addEventListener("hashchange", openTarget);
addEventListener("DOMContentLoaded", openTarget);
addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) openTarget();
});

for (const box of document.querySelectorAll("[data-toggle]")) {
  const show = () => document.body.classList.toggle(`show-${box.dataset.toggle}`, box.checked);
  box.addEventListener("change", show);
  show();
}

for (const form of document.querySelectorAll("[data-filter]")) {
  const rows = [...document.getElementById(form.dataset.filter).tBodies[0].rows];
  const filter = () => {
    const wanted = new FormData(form);
    const text = wanted.get("text").trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const kept =
        (!text || row.textContent.toLowerCase().includes(text)) &&
        (!wanted.get("table") || row.dataset.table === wanted.get("table")) &&
        (!wanted.get("verdict") || row.dataset.verdict === wanted.get("verdict")) &&
        (!wanted.get("flagged") || row.dataset.flagged === "1");
      row.hidden = !kept;
      shown += kept;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length} cells`;
  };
  // Not every browser sends "input" for a choice.
  for (const kind of ["input", "change"]) form.addEventListener(kind, filter);
  form.addEventListener("submit", (event) => event.preventDefault());
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, place) => {
    heading.querySelector("button").addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x !== "" && y !== "" && !isNaN(x) && !isNaN(y)) return x - y;
        return (x === "") - (y === "") || x.localeCompare(y, undefined, { numeric: true });
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * compare(a, b));
      table.tBodies[0].append(...rows);
    });
  });
}
