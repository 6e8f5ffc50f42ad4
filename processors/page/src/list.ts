/** A table that is read a page at a time. Only the document. */

import { h, said } from "./dom.ts";

export interface Column<T> {
  title: string;
  cell: (row: T) => Node | string;
  /** Numbers stand at the right. */
  number?: boolean;
}

export interface Table<T> {
  caption: string;
  columns: Column<T>[];
  /** What to say when there is nothing. */
  empty: string;
  read: (after?: string) => Promise<{ rows: T[]; next?: string | undefined }>;
}

/** The keyboard keeps its place when the button that it is on is there again. */
function replace(body: HTMLElement, lines: HTMLElement[]): void {
  const focused = body.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
  body.replaceChildren(...lines);
  if (!focused) return;
  const again = [...body.querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === focused);
  again?.focus();
}

/** Fills `into`, and returns how to read it anew. Rows keep their places until the new ones are there. */
export function table<T>(into: HTMLElement, { caption, columns, empty, read }: Table<T>): () => Promise<void> {
  const body = h("tbody");
  const head = columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : "" }, column.title));
  const frame = h(
    "div",
    { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
    h("table", {}, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, ...head)), body),
  );
  const note = h("p", { class: "muted" });
  const more = h("button", { type: "button", hidden: true }, "More");
  let next: string | undefined;
  let reading = 0;

  const add = async (after?: string) => {
    reading += 1;
    const mine = reading;
    try {
      const { rows, next: following } = await read(after);
      if (mine !== reading) return;
      const lines = rows.map((row) =>
        h("tr", {}, ...columns.map((column) => h("td", { class: column.number ? "number" : "" }, column.cell(row)))),
      );
      if (after === undefined) replace(body, lines);
      else body.append(...lines);
      next = following;
      more.hidden = next === undefined;
      frame.hidden = body.childElementCount === 0;
      note.textContent = body.childElementCount === 0 ? empty : "";
    } catch (error) {
      if (mine === reading) note.textContent = said(error);
    }
  };
  more.addEventListener("click", async () => {
    const place = body.childElementCount;
    await add(next);
    // The button may be gone: the first new row is where to read on.
    if (more.hidden) body.children.item(place)?.querySelector("button")?.focus();
  });
  into.replaceChildren(frame, note, more);
  return () => add();
}
