// Sorting and filtering. Without this script the page reads whole: tables stand sorted, nothing is hidden.
(() => {
  "use strict";
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v ?? cell.textContent.trim();
  };

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if ("fixed" in head.dataset) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        // What has no value stays last either way.
        rows.sort(([a], [b]) => (a === "" || b === "" || up ? compare(a, b) : compare(b, a)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  for (const filters of document.querySelectorAll(".filters")) {
    const table = document.getElementById(filters.dataset.table);
    const search = filters.querySelector("input");
    const group = filters.querySelector("select");
    const found = filters.querySelector(".found");
    const rows = [...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const [row, text] of rows) {
        const shown = (!group?.value || row.dataset.group === group.value) && words.every((w) => text.includes(w));
        row.hidden = !shown;
        count += shown;
      }
      found.textContent = count === rows.length ? "" : `${count} of ${rows.length} shown`;
    };
    search.addEventListener("input", apply);
    group?.addEventListener("change", apply);
    filters.hidden = false;
    apply();
  }

  // A definition can be closed without moving away from its name.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const term of document.querySelectorAll(".term:hover, .term:focus-within")) term.classList.add("closed");
  });
  for (const type of ["pointerover", "focusin"]) {
    document.addEventListener(type, (event) => {
      const here = event.target.closest?.(".term");
      for (const term of document.querySelectorAll(".term.closed")) if (term !== here) term.classList.remove("closed");
    });
  }
})();
