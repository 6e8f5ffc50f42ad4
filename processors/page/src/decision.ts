/** The question what is to become of a held payment, with who decides and why. I/O and the document. */

import * as api from "./api.ts";
import type { Question } from "./dialog.ts";
import { announce, required } from "./dom.ts";
import { capital, reason } from "./words.ts";

const DONE = { release: "released", refuse: "refused" };

export function decision(id: string, verdict: api.Verdict): Question {
  const act = capital(verdict);
  return {
    title: `${act} payment ${id}`,
    fields: [
      { name: "by", label: "Who", required: true },
      { name: "why", label: "Why", required: true },
    ],
    act,
    danger: verdict === "refuse",
    send: async (form) => {
      const by = required(form, "by", "Who decides");
      const why = required(form, "why", "Why");
      const outcome = await api.decide(id, verdict, { by, why });
      if (outcome.status === "rejected") throw new Error(`Not ${DONE[verdict]}: ${reason(outcome.reason ?? "")}.`);
      announce(`Payment ${id} is ${outcome.status === "confirmed" ? "" : "being "}${DONE[verdict]}.`);
    },
  };
}
