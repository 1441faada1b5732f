// Sorting of tables and enlarging of pictures. The page says everything without it.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  for (const head of table.querySelectorAll("th[data-column]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.title = "Sort by this column; once more turns the order, a third time takes it back";
    head.append(button);
    button.addEventListener("click", () => {
      const order = { descending: "ascending", ascending: "none" }[head.getAttribute("aria-sort")] ?? "descending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      if (order !== "none") head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => row.cells[Number(head.dataset.column) + 1].dataset.value;
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return sign * (Number(x) - Number(y));
      };
      body.append(...(order === "none" ? original : [...original].sort(compare)));
    });
  }
}
const dialog = document.createElement("dialog");
dialog.addEventListener("click", () => dialog.close());
document.body.append(dialog);
for (const image of document.querySelectorAll(".picture img, .chart img")) {
  image.tabIndex = 0;
  image.title = "Enlarge";
  const enlarge = () => {
    const large = image.cloneNode();
    large.removeAttribute("tabindex");
    large.title = "Close";
    dialog.replaceChildren(large);
    dialog.showModal();
  };
  image.addEventListener("click", enlarge);
  image.addEventListener("keydown", (event) => event.key === "Enter" && enlarge());
}
