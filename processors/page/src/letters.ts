/** Dead letters: list, show, replay. I/O and the document. */

import type { Letter, LetterInFull, Served } from "./api.ts";
import * as api from "./api.ts";
import { ask } from "./dialog.ts";
import { announce, byId, h, required, said, time } from "./dom.ts";
import { table } from "./list.ts";

/** Shows the section when the gateway has dead letters to tell of. */
export function letters(served: Served): void {
  if (!served("get", "/v1/dead-letters")) return;
  byId("letters-section").hidden = false;
  const refresh = table<Letter>(byId("letters"), {
    caption: "Dead letters",
    empty: "No dead letter: every record could be read.",
    columns: [
      { title: "When", cell: (letter) => time(letter.at) },
      { title: "Code", cell: (letter) => h("code", {}, letter.code) },
      { title: "Detail", cell: (letter) => letter.detail },
      { title: "Stage", cell: (letter) => letter.stage },
      { title: "Replays", number: true, cell: (letter) => String(letter.replays) },
      {
        title: "Action",
        cell: (letter) =>
          h(
            "button",
            { type: "button", "aria-label": `Show dead letter ${letter.id}`, click: () => void open(letter.id) },
            "Show",
          ),
      },
    ],
    read: async (after) => {
      const { deadLetters, next } = await api.letters(after);
      return { rows: deadLetters, next };
    },
  });
  byId("letters-refresh").addEventListener("click", () => void refresh());
  void refresh();

  const open = async (id: string) => {
    let letter: LetterInFull;
    try {
      letter = await api.letter(id);
    } catch (error) {
      announce(said(error));
      ask({ title: `Dead letter ${id}`, about: [h("p", { class: "error" }, said(error))], fields: [] });
      return;
    }
    const replayable = served("post", "/v1/dead-letters/{id}/replay");
    ask({
      title: `Dead letter ${id}`,
      about: [body(letter)],
      fields: replayable
        ? [
            { name: "by", label: "Who", required: true },
            { name: "reason", label: "Why", required: true },
          ]
        : [],
      ...(replayable && { act: "Replay" }),
      send: async (form) => {
        await api.replay(id, { by: required(form, "by", "Who replays it"), reason: required(form, "reason", "Why") });
        announce(`Dead letter ${id} is replayed.`);
        await refresh();
      },
    });
  };
}

function body(letter: LetterInFull): HTMLElement {
  const { topic, partition, offset } = letter.source;
  const facts: [string, string | Node][] = [
    ["Code", h("code", {}, letter.code)],
    ["Detail", letter.detail],
    ["When", time(letter.at)],
    ["Source", `${topic}, partition ${partition}, offset ${offset}`],
    ["Key", letter.key ?? "none"],
    ["Replays", String(letter.replays)],
    ...(letter.headers ?? []).map((header): [string, string] => [
      header.key ?? header.name ?? "header",
      header.value ?? "",
    ]),
  ];
  const value = letter.value;
  const text =
    value?.decoded !== undefined && value.decoded !== null
      ? JSON.stringify(value.decoded, null, 2)
      : (value?.text ?? value?.hex);
  return h(
    "div",
    { class: "letter" },
    h("dl", {}, ...facts.flatMap(([name, fact]) => [h("dt", {}, name), h("dd", {}, fact)])),
    value ? h("p", { class: "muted" }, `Value, ${value.bytes} bytes:`) : null,
    value ? h("pre", { tabindex: 0, "aria-label": "Value" }, text ?? "") : null,
  );
}
