/** A question in a dialog of the browser's own, which keeps the focus and gives it back. Only the document. */

import { h, onSubmit } from "./dom.ts";

export interface Field {
  name: string;
  label: string;
  required?: boolean;
  hint?: string;
}

export interface Question {
  title: string;
  /** What is shown above the fields. */
  about?: (Node | string)[];
  fields: Field[];
  /** The word on the button that does it; without one there is nothing to be done but to look. */
  act?: string;
  danger?: boolean;
  /** Does it; a failure is shown and the dialog stays. */
  send?: (form: HTMLFormElement) => Promise<void>;
  /** After it was done and the dialog is gone. */
  done?: () => void;
}

let last = 0;

export function ask(question: Question): void {
  last += 1;
  const title = h("h2", { id: `dialog-${last}` }, question.title);
  const dialog = h("dialog", { "aria-labelledby": title.id });
  const close = () => dialog.close();
  const fields = question.fields.map((field) =>
    h(
      "label",
      { class: "field" },
      field.label,
      field.required ? null : h("span", { class: "optional" }, " optional"),
      h("input", { name: field.name, autocomplete: "off", required: field.required, placeholder: field.hint }),
    ),
  );
  const act = question.act
    ? h("button", { type: "submit", class: question.danger ? "primary danger" : "primary" }, question.act)
    : null;
  const form = h(
    "form",
    { id: `dialog-form-${last}`, novalidate: true },
    ...fields,
    h("p", { class: "error", role: "alert", hidden: true }),
    h("div", { class: "row end" }, h("button", { type: "button", click: close }, act ? "Cancel" : "Close"), act),
  );
  onSubmit(form, async () => {
    await question.send?.(form);
    close();
    question.done?.();
  });
  dialog.append(title, ...(question.about ?? []), form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
